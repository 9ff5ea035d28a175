/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The sets that are built in, as the configuration would have them. Included once. */

static const struct { const char *key, *value; } built_in[] = {
	{ "read-only.rule",
		"deny GET /containers/*/attach/ws this socket is read-only\n"
		"allow GET,HEAD *\n"
		"deny * * this socket is read-only" },
	/* Nothing that reaches the host beside what a plain container does. */
	{ "confined.rule",
		"deny POST /containers/create body.HostConfig.Privileged=true no privileged containers here\n"
		"deny POST /containers/*/exec body.Privileged=true no privileged execs here\n"
		"deny POST /containers/create body.HostConfig.Binds=/* no folders of the host here\n"
		"deny POST /containers/create body.HostConfig.Mounts.Type=bind|npipe|cluster no folders of the host here\n"
		"deny POST /containers/create body.HostConfig.Mounts.VolumeOptions.DriverConfig.Options no options of volumes here\n"
		"deny POST /containers/create body.HostConfig.Mounts.VolumeOptions.DriverConfig.Name!=|local no other drivers of volumes here\n"
		"deny POST /containers/create body.HostConfig.VolumeDriver!=|local no other drivers of volumes here\n"
		"deny POST /volumes/create body.DriverOpts no options of volumes here\n"
		"deny POST /volumes/create body.Driver!=|local no other drivers of volumes here\n"
		"deny POST /containers/create body.HostConfig.NetworkMode=host the host's network is not for containers here\n"
		"deny POST /containers/create body.NetworkingConfig.EndpointsConfig.host!= the host's network is not for containers here\n"
		"deny POST /networks/create body.Driver!=|bridge no networks but bridges here\n"
		"deny POST /networks/create body.Options no options of networks here\n"
		"deny POST /containers/create body.HostConfig.PidMode=host the host's processes are not for containers here\n"
		"deny POST /containers/create body.HostConfig.IpcMode=host the host's IPC is not for containers here\n"
		"deny POST /containers/create body.HostConfig.UTSMode=host the host's name is not for containers here\n"
		"deny POST /containers/create body.HostConfig.UsernsMode=host the host's users are not for containers here\n"
		"deny POST /containers/create body.HostConfig.CgroupnsMode=host the host's control groups are not for containers here\n"
		"deny POST /containers/create body.HostConfig.CgroupParent no control groups of their own here\n"
		"deny POST /containers/*/update body.CgroupParent no control groups of their own here\n"
		"deny POST /containers/create body.HostConfig.Devices no devices here\n"
		"deny POST /containers/create body.HostConfig.DeviceRequests no devices here\n"
		"deny POST /containers/create body.HostConfig.DeviceCgroupRules no devices here\n"
		"deny POST /containers/*/update body.Devices no devices here\n"
		"deny POST /containers/create body.HostConfig.CapAdd no more capabilities here\n"
		"deny POST /containers/create body.HostConfig.SecurityOpt!=|[]|no-new-privileges|no-new-privileges:true|no-new-privileges=true no options of security here\n"
		"deny POST /containers/create body.HostConfig.MaskedPaths!= no options of security here\n"
		"deny POST /containers/create body.HostConfig.ReadonlyPaths!= no options of security here\n"
		"deny POST /containers/create body.HostConfig.Runtime!=|runc no other runtimes here\n"
		"deny POST /containers/create body.HostConfig.Annotations no annotations here\n"
		"deny POST /containers/create body.HostConfig.LogConfig.Type!=|json-file|local|none no other drivers of logs here\n"
		"deny POST /containers/*/update body.LogConfig.Type!=|json-file|local|none no other drivers of logs here\n"
		"deny POST /containers/create body.HostConfig.OomScoreAdj=-* no protection from the OOM killer here\n"
		"deny POST /containers/create body.HostConfig.OomKillDisable=true no protection from the OOM killer here\n"
		"deny POST /build* no builds here\n"
		"deny POST /session* no builds here\n"
		"deny POST /grpc* no builds here\n"
		"deny POST,PUT,DELETE /plugins* no changes of plugins here\n"
		"deny POST,PUT,DELETE /swarm* no changes of the swarm here" },
};
