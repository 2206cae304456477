package temporald

import (
	"net"
	"strconv"
	"time"

	"go.temporal.io/server/common/cluster"
	"go.temporal.io/server/common/config"
	"go.temporal.io/server/common/dynamicconfig"
	"go.temporal.io/server/common/membership/static"
	sqliteplugin "go.temporal.io/server/common/persistence/sql/sqlplugin/sqlite"
	"go.temporal.io/server/common/primitives"
)

const (
	host        = "127.0.0.1"
	clusterName = "active"
	disabled    = "disabled"

	// historyShards cannot be changed for an existing file. More shards spread locks over
	// database connections, of which SQLite has one writer.
	historyShards = 1
)

func address(port int) string { return net.JoinHostPort(host, strconv.Itoa(port)) }

// serverConfig is what `temporal server start-dev` builds, less its metrics and pprof ports.
func serverConfig(o Options) *config.Config {
	frontend := address(o.Ports.Frontend)
	return &config.Config{
		Global: config.Global{Membership: config.Membership{MaxJoinDuration: readyTimeout, BroadcastAddress: host}},
		Persistence: config.Persistence{
			DefaultStore: sqliteplugin.PluginName, VisibilityStore: sqliteplugin.PluginName, NumHistoryShards: historyShards,
			DataStores: map[string]config.DataStore{sqliteplugin.PluginName: {SQL: sqlConfig(o.DB)}},
		},
		ClusterMetadata: &cluster.Config{
			FailoverVersionIncrement: 10, MasterClusterName: clusterName, CurrentClusterName: clusterName,
			ClusterInformation: map[string]cluster.ClusterInformation{
				clusterName: {Enabled: true, InitialFailoverVersion: 1, RPCAddress: frontend},
			},
		},
		DCRedirectionPolicy: config.DCRedirectionPolicy{Policy: "noop"},
		Services: map[string]config.Service{
			string(primitives.FrontendService): service(o.Ports.Frontend),
			string(primitives.HistoryService):  service(o.Ports.History),
			string(primitives.MatchingService): service(o.Ports.Matching),
			string(primitives.WorkerService):   service(o.Ports.Worker),
		},
		Archival: config.Archival{
			History: config.HistoryArchival{State: disabled}, Visibility: config.VisibilityArchival{State: disabled},
		},
		NamespaceDefaults: config.NamespaceDefaults{Archival: config.ArchivalNamespaceDefaults{
			History:    config.HistoryArchivalNamespaceDefaults{State: disabled},
			Visibility: config.VisibilityArchivalNamespaceDefaults{State: disabled},
		}},
		PublicClient: config.PublicClient{HostPort: frontend},
	}
}

func service(port int) config.Service {
	return config.Service{RPC: config.RPC{GRPCPort: port, BindOnLocalHost: true}}
}

// staticHosts spares the gossip ring, its four extra ports and its seconds of joining.
func staticHosts(p Ports) map[primitives.ServiceName]static.Hosts {
	return map[primitives.ServiceName]static.Hosts{
		primitives.FrontendService: static.SingleLocalHost(address(p.Frontend)),
		primitives.HistoryService:  static.SingleLocalHost(address(p.History)),
		primitives.MatchingService: static.SingleLocalHost(address(p.Matching)),
		primitives.WorkerService:   static.SingleLocalHost(address(p.Worker)),
	}
}

// dynamicConfig is what makes one shard on SQLite quick. Measured, signal to activity start,
// median: 34 ms with the defaults, 3.4-4.6 ms with these.
func dynamicConfig() dynamicconfig.StaticClient {
	const queueWorkers, listWorkers = 64, 2
	const pollsPerSecond = 2000 // default 20: with a single shard every hop waits up to 50 ms for its turn
	return dynamicconfig.StaticClient{
		dynamicconfig.TransferProcessorMaxPollRPS.Key():   pollsPerSecond,
		dynamicconfig.TimerProcessorMaxPollRPS.Key():      pollsPerSecond,
		dynamicconfig.VisibilityProcessorMaxPollRPS.Key(): pollsPerSecond,

		// One partition keeps strict order and spares the forwarding between partitions.
		dynamicconfig.MatchingNumTaskqueueReadPartitions.Key():  1,
		dynamicconfig.MatchingNumTaskqueueWritePartitions.Key(): 1,

		// The UI's lists ask more than the default 10 times a second.
		dynamicconfig.FrontendMaxNamespaceVisibilityRPSPerInstance.Key(): 100,

		// Entries, not bytes; the default of 128,000 is for a cluster's history host.
		dynamicconfig.HistoryCacheHostLevelMaxSize.Key(): 8096,

		// Workers of the queues. The defaults, 512 each, are for a history host of a cluster; each
		// is a goroutine that waits, and SQLite's one connection keeps fewer than these busy.
		dynamicconfig.TransferProcessorSchedulerWorkerCount.Key(): queueWorkers,
		dynamicconfig.TimerProcessorSchedulerWorkerCount.Key():    queueWorkers,
		// Lists are for people and may be behind by a moment: in a burst of starts, what is written to them does not
		// contend with the starts.
		dynamicconfig.VisibilityProcessorSchedulerWorkerCount.Key(): listWorkers,
		// Nothing is replicated: there is one cluster.
		dynamicconfig.ReplicationProcessorSchedulerWorkerCount.Key():            1,
		dynamicconfig.ReplicationLowPriorityProcessorSchedulerWorkerCount.Key(): 1,

		// No call to version-info.temporal.io from a machine that did not ask for it.
		dynamicconfig.EnableServerVersionCheck.Key(): false,
	}
}

// retention is how long a closed workflow's history stays readable in the UI. Entities that
// continue as new close often; a long weekend is enough to look back on.
const retention = 72 * time.Hour
