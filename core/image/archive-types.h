/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Names of the OCI image format, as archives of this daemon use them. */
#ifndef IMAGE_ARCHIVE_TYPES_H
#define IMAGE_ARCHIVE_TYPES_H

#define ARCHIVE_LAYER_TYPE "application/vnd.oci.image.layer.v1.tar"
#define ARCHIVE_CONFIG_TYPE "application/vnd.oci.image.config.v1+json"
#define ARCHIVE_MANIFEST_TYPE "application/vnd.oci.image.manifest.v1+json"
#define ARCHIVE_INDEX_TYPE "application/vnd.oci.image.index.v1+json"

#endif
