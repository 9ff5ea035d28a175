/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Between the daemon (session.c) and the process that speaks to registries (core/fetch). Both come from one build: no versions here.
 * A SOCK_SEQPACKET at descriptor WIRE_FD; one JSON object a packet, in which descriptors may ride along.
 *
 * The first packet is the session:
 *   {"sites":[{"url":"https://registry-1.docker.io" | "host":"h:5000", "mirror":bool, "insecure":bool, "ca":N, "cert":N, "key":N,
 *      "prefix":"stands before names there", and of a mirror its own "username","password","identitytoken","registrytoken"}...],
 *    "cidrs":["127.0.0.0/8"...], "class":what tokens are for ("plugin"; none: images), "username","password","identitytoken","registrytoken", "agent", "attempts":N, "stall":seconds, "rate":bytes a second,
 *    "proxy":{"http","https","no"}}
 * N counts the descriptors of the packet: PEM files. A site with "host" is tried by https, and by http where it is insecure, by name or as its address
 * is within one of cidrs. Only sites that are no mirrors get the credentials of the session.
 *
 * Then requests, answered in any order; a descriptor rides along with those marked *, and gets the body:
 *   {"id","op":"manifest","repo","ref","from"} *                -> {"id","size","type","next"}  from: the first site to ask; next: behind the mirror
 *                                                                                          that answered, or 0
 *   {"id","op":"get","path","scope"?} *                         -> {"id","size"}
 *   {"id","op":"tags","repo"} *                                 -> {"id","size"}      a JSON list of names
 *   {"id","op":"blob","repo","digest","size":N} *               -> {"id","size"}      what is there of it is gone on with
 *   {"id","op":"download","url","max":N} *                      -> {"id","size"}      of no site; "at" says "total", too, 0 when that is not known
 *   {"id","op":"have","repo","digest"}                          -> {"id","yes","size"}
 *   {"id","op":"mount","repo","digest","from"}                  -> {"id","yes"}
 *   {"id","op":"upload","repo","digest","size"} *               -> {"id","size"}      the descriptor is read
 *   {"id","op":"put","repo","ref","type","size"} *              -> {"id","size"}      the same, of a manifest
 *   {"id","op":"login"}                                         -> {"id","identitytoken"?}
 * Any of them -> {"id","error":text,"code":CODE?,"status":N} instead; CODE is the registry's own word (MANIFEST_UNKNOWN, DENIED...), or SIZE, DIGEST
 * and NOSPACE for a blob. Blobs and uploads say meanwhile {"id","at":bytes}, {"id","retry":seconds}.
 */
#ifndef REGISTRY_WIRE_H
#define REGISTRY_WIRE_H

#define WIRE_FD 3
#define WIRE_PACKET_MAX (96 * 1024)
#define WIRE_FDS_MAX 64
#define WIRE_MANIFEST_MAX (4u << 20)
#define WIRE_TEXT_MAX 2048 /* of an error */

#endif
