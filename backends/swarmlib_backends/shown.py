"""What `redact` shows of the Engine API: the names of the fields, parameters and headers whose values are harmless.

Everything else is hidden, including what later versions of the API add: a name is listed here once someone has checked
that no client puts a secret there. Numbers need to be listed too: a password may be one.
"""

from __future__ import annotations

from typing import Final


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


NUMBERS: Final = _names("""
    ActiveCount AllowAllDevices ArgsEscaped AttachStderr AttachStdin AttachStdout Attachable AutoLockManagers
    AutoRemove Available BlkioWeight BridgeNfIp6tables BridgeNfIptables CPUSet CPUShares CanRemove CapacityBytes
    CheckDuplicate CompletedTasks ConfigOnly ConsoleSize ContainersPaused ContainersRunning ContainersStopped Content
    ControlAvailable Count CpuCfsPeriod CpuCfsQuota CpuCount CpuPercent CpuPeriod CpuQuota CpuRealtimePeriod
    CpuRealtimeRuntime CpuShares CreateMountpoint DataPathPort Dead Debug Delay DesiredTasks Detach Disable Disabled
    DynamicIPsAvailable ElectionTick EnableIPv4 EnableIPv6 Enabled ExitCode Experimental ExperimentalBuild
    FailingStreak Force ForceNewCluster ForceRotate ForceUpdate GlobalIPv6PrefixLen GwPriority HairpinMode Hard
    HeartbeatPeriod HeartbeatTick IOMaximumBandwidth IOMaximumIOps IPPrefixLen IPsInUse IPv4Forwarding InUse Index
    Ingress Init Internal Interval IpcHost KeepOldSnapshots KernelMemory KernelMemoryTCP LayersSize Leader LimitBytes
    LinkLocalIPv6PrefixLen LiveRestoreEnabled LocalLBIndex LogEntriesForSlowFollowers Managers MaxAttempts
    MaxConcurrent MaxFailureRatio MaxReplicas MaximumRetryCount MemTotal Memory MemoryBytes MemoryLimit
    MemoryReservation MemorySwap MemorySwappiness Monitor NCPU NEventsListener NFd NGoroutines NanoCPUs NanoCpus
    NetworkDisabled NoCopy NoNewPrivileges NodeCertExpiry Nodes NonRecursive OOMKilled Official OomKillDisable
    OomScoreAdj OpenStderr OpenStdin OpenStdout PID Parallelism Paused Pid PidHost Pids PidsLimit PrefixLen
    PrivatePort Privileged PublicPort PublishAllPorts PublishedPort RW Rate ReadOnly ReadOnlyForceRecursive
    ReadOnlyNonRecursive ReadonlyRootfs Reclaimable RefCount Replicas RequiredBytes RestartCount Restarting Retries
    RootRotationInProgress Running RunningTasks Secure Shared SharedSize ShmSize SizeBytes SizeRootFs SizeRw Slot
    SnapshotInterval Soft SpaceReclaimed StartInterval StartPeriod StatusCode StdinOnce StopGracePeriod StopTimeout
    SubnetSize SwapBytes SwapLimit TTY TargetPort TaskHistoryRetentionLimit Timeout Total TotalCompletions TotalCount
    TotalSize Tty Unpacked UsageCount VirtualSize Weight Window code commitbytes commitpeakbytes current failcnt
    is_automated is_official limit major max_usage minor num_procs online_cpus percpu_usage periods privateworkingset
    privileged read_count_normalized read_size_bytes rx_bytes rx_dropped rx_errors rx_packets size star_count
    system_cpu_usage throttled_periods throttled_time time timeNano total total_usage tty tx_bytes tx_dropped
    tx_errors tx_packets usage usage_in_kernelmode usage_in_usermode value write_count_normalized write_size_bytes
""")
"""Fields whose numbers are shown."""

FIELDS: Final = _names("""
    AccessMode AccessibilityRequirements AccessibleTopology Actor Addr Address Addresses AdvertiseAddr Aliases
    ApiVersion AppArmor AppArmorProfile Arch Architecture AssignedGenericResources Availability Base BindOptions Binds
    BlkioDeviceReadBps BlkioDeviceReadIOps BlkioDeviceWriteBps BlkioDeviceWriteIOps BlkioWeightDevice Bridge Build
    BuildCache BuildCacheUsage BuildTime BuilderSize BuilderVersion CAConfig CDISpecDirs CachesDeleted CapAdd CapDrop
    Capabilities CapabilityAdd CapabilityDrop CapacityRange Cgroup CgroupDriver CgroupParent CgroupPermissions
    CgroupVersion CgroupnsMode Cluster ClusterVolume ClusterVolumeSpec CompletedAt Components Condition ConfigFrom
    ConfigID ConfigName Configs Consistency Constraints Container ContainerID ContainerIDFile ContainerSpec
    ContainerStatus ContainerUsage Containerd ContainerdCommit ContainersDeleted CpusetCpus CpusetMems Created
    CreatedAt DNSConfig DNSNames DataPathAddr DefaultAddrPool DefaultAddressPools DefaultRuntime Deleted Descriptor
    DesiredState Destination DetachKeys Details DeviceCgroupRules DeviceIDs DeviceRequests Devices Dir
    DiscoveredDevices DiscreteResourceSpec Dispatcher Dns DnsOptions DnsSearch DockerRootDir DockerVersion Domainname
    Driver DriverConfig EncryptionConfig End Endpoint EndpointConfig EndpointID EndpointIP EndpointSpec Engine
    EngineVersion ExecIDs ExternalCAs ExtraHosts FailureAction File FinishedAt FirewallBackend GID Gateway
    GenericResources GitCommit Global GlobalIPv6Address GlobalJob GoVersion GraphDriver Group GroupAdd Groups Health
    HealthCheck Healthcheck HostConfig HostIp HostPort Hostname HostnamePath Hosts HostsPath ID IP IPAM IPAMConfig
    IPAddress IPRange IPv4Address IPv6Address IPv6Gateway Id Identity Image ImageData ImageID ImageManifestDescriptor
    ImageOptions ImageUsage Images ImagesDeleted IndexConfigs IndexServerAddress Info InitBinary InitCommit
    InsecureRegistryCIDRs InstanceID Interface IpcMode Isolation Items JobStatus KernelVersion Kind LastExecution
    LastTagTime LastUsedAt Layers Limits LinkLocalIPs Links Linux ListenAddr LocalNodeID LocalNodeState Log LogConfig
    LogDriver LogPath LoggingDriver LowerDir MacAddress Major ManagerStatus Manifests MaskedPaths MergedDir Metadata
    MinAPIVersion Mirrors Missing Mode Mountpoint Mounts Name NamedResourceSpec Names Nameservers Namespaces Network
    NetworkAttachmentSpec NetworkID NetworkMode NetworkSettings NetworkingConfig NetworksAttachments NetworksDeleted
    NoProxy Node NodeAddr NodeID OOMScoreAdj OS OSType OSVersion OperatingSystem Orchestration Order Os OsVersion
    Parent ParentId Parents PathInContainer PathOnHost Peers PidMode Placement Platform Platforms PluginPrivilege
    PluginReference PluginSpec Plugins PortStatus Preferences Preferred Privileges ProcessConfig ProcessLabel
    PropagatedMount Propagation Protocol PublishMode PublishStatus Pull Raft Reachability Readonly ReadonlyPaths
    RegistryConfig RemoteAddrs RemoteManagers Replicated ReplicatedJob RepoDigests RepoTags Repository Requisite
    Reservations ResolvConfPath Resources RestartPolicy Role RollbackConfig RootDir RootFS RuncCommit Runtime
    SELinuxContext SandboxID SandboxKey Scope Search Seccomp SecretID SecretName Secrets ServerVersion ServiceID
    ServiceStatus Settings Sharing Size Snapshot Source Spec Spread SpreadDescriptor Start StartedAt State StopSignal
    Storage Subnet Subpath Swarm SystemTime Tag Tags Target TaskDefaults TaskTemplate Tasks Templating Timestamp
    Titles TmpfsOptions Type Types UID UTSMode Ulimits Untagged UpdateConfig UpdateStatus UpdatedAt UpperDir UsageData
    User UsernsMode VIP Variant Version VirtualIPs Volume VolumeDriver VolumeID VolumeOptions VolumeUsage
    VolumesDeleted VolumesFrom WorkDir WorkingDir architecture artifactType blkio_stats cached cpu_stats cpu_usage
    diff_ids digest digests endpoint_id errorDetail from id instance_id io_merged_recursive io_queue_recursive
    io_service_bytes_recursive io_service_time_recursive io_serviced_recursive io_time_recursive
    io_wait_time_recursive mediaType memory_stats name op os os.features os.version os_type pids_stats platform
    precpu_stats preread progress progressDetail read rootfs scope sectors_recursive storage_stats throttling_data
    type units variant
""")
"""Fields whose text and numbers are shown, and whose objects are looked through."""

MAPS: Final = _names("""
    Containers EndpointsConfig ExposedPorts Networks PortBindings Ports Runtimes Services Subnets Volumes networks
""")
"""Fields that hold objects under names of the user's choice: ports, networks, paths."""

LABELS: Final = ("com.docker.compose.", "org.opencontainers.image.", "swarmlib.")
"""Prefixes of labels that programs set, without secrets."""
ATTRIBUTES: Final = _names(
    "container destination driver execDuration execID exitCode image name oldName propagation signal type"
)
"""What the engine itself reports in an event, among the labels of its object."""
VARIABLES: Final = _names("""
    COLORTERM COLUMNS DEBIAN_FRONTEND GOLANG_VERSION HOME HOSTNAME JAVA_HOME JAVA_VERSION LANG LANGUAGE LC_ALL LC_CTYPE
    LINES LOGNAME NODE_VERSION PATH PG_VERSION PWD PYTHONUNBUFFERED PYTHON_VERSION SHELL SHLVL TERM TZ USER
""")
"""Environment variables whose values are shown."""
PROGRAMS: Final = _names("CMD CMD-SHELL NONE ash bash cat echo env false ls ps sh sleep tail top true")
"""First words of commands that are shown."""

PARAMETERS: Final = _names("""
    all condition container copyUIDGID cpuperiod cpuquota cpusetcpus cpushares detachKeys details digests
    dockerfile follow force forcerm fromImage h identity insertDefaults keep-storage limit link logs manifests
    max-used-space memory memswap min-free-space name names networkmode nocache noOverwriteDirNonDir
    noprune one-shot path pause platform platforms pull q quiet registryAuthFrom repo reserved-space rm rollback
    rotateManagerToken rotateManagerUnlockKey rotateWorkerToken scope shared-size shmsize signal since size
    squash statement status stderr stdin stdout stream t tag tail target term timeout timestamps type until
    v verbose version w
""")
"""Parameters of requests and details of replies, mostly query parameters, that are shown."""
FILTERS: Final = _names("""
    ancestor before capability container daemon dangling desired-state driver enabled event exited expose health id
    image inuse is-automated is-official is-task isolation keep-storage label label! membership mode name network node
    node.label parent plugin private publish reference role runtime scope service shared since stars status type
    unused-for until volume
""")
"""Filters of lists whose values are shown; of label filters, only the names of the labels."""
HEADERS: Final = _names("""
    accept accept-encoding accept-ranges api-version builder-version cache-control connection content-encoding
    content-length content-type date docker-experimental host ostype server swarm swarmlib-error swarmlib-missing
    transfer-encoding upgrade user-agent vary x-docker-container-path-stat
""")
"""Headers, of requests and responses, that are shown."""
