/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* All that the public headers declare, in one shared object with debug information, for abidiff(1). */
#include <dockerd/authz.h>
#include <dockerd/graph.h>
#include <dockerd/ipam.h>
#include <dockerd/log.h>
#include <dockerd/net.h>
#include <dockerd/volume.h>

DKD_EXPORT const struct dkd_driver *shape_driver;
DKD_EXPORT const struct dkd_host *shape_host;
DKD_EXPORT const struct dkd_authz_ops *shape_authz;
DKD_EXPORT const struct dkd_graph_ops *shape_graph;
DKD_EXPORT const struct dkd_ipam_ops *shape_ipam;
DKD_EXPORT const struct dkd_log_ops *shape_log;
DKD_EXPORT const struct dkd_net_ops *shape_net;
DKD_EXPORT const struct dkd_volume_ops *shape_volume;
