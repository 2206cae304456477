// Package config reads the platform's settings: defaults, then the environment (prefix
// STOKER_, by kelseyhightower/envconfig), then flags.
//
// Credentials of real servers use the ecosystem's own settings: a NATS credentials file, user
// and token in its URL and TLS files; Temporal's TEMPORAL_* variables and profiles.
package config

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"reflect"
	"strings"
	"time"

	"github.com/kelseyhightower/envconfig"
	"github.com/spf13/pflag"

	"stoker.dev/stoker/cmd/stoker/datadir"
)

// prefix of every variable. It stands in each tag: given to envconfig as its own, NATS_URL and
// LISTEN would be read as well where the prefixed ones are not set.
const prefix = "STOKER_"

// Config is what is in force. The desc tag is the help of flag and variable; hide:"user" marks
// addresses that may hold a password.
type Config struct {
	DataDir string `envconfig:"STOKER_DATA_DIR" flag:"data-dir" desc:"data directory (default $XDG_DATA_HOME/stoker or ~/.local/share/stoker)"`
	Listen  string `envconfig:"STOKER_LISTEN" flag:"listen" default:"127.0.0.1:8080" desc:"address of the one HTTP port; another one than loopback wants --tls-cert, --tls-key and users"`

	Users     string `envconfig:"STOKER_USERS" flag:"users" desc:"file of who may use the platform, see stoker user (default users.yaml in the data directory)"`
	Anonymous bool   `envconfig:"STOKER_ANONYMOUS" flag:"anonymous" default:"true" desc:"on loopback, let callers without a token send requests and look; off loopback they never may"`
	TLSCert   string `envconfig:"STOKER_TLS_CERT" flag:"tls-cert" desc:"certificate file (PEM, with its chain) of HTTP port and embedded NATS server"`
	TLSKey    string `envconfig:"STOKER_TLS_KEY" flag:"tls-key" desc:"key file of --tls-cert"`

	DiskWatermark string `envconfig:"STOKER_DISK_WATERMARK" flag:"disk-watermark" default:"256Mi" desc:"below this much free room on the data directory's disk no new work is taken and a new platform does not start; a quarter more opens it again"`

	Records    int    `envconfig:"STOKER_RECORDS" flag:"records" default:"500000" desc:"how many terminal records are kept at most, some 0.35 kB of memory each; where there is no room, requests wait: at a retention of an hour 500000 are 138 requests a second"`
	RecordRoom string `envconfig:"STOKER_RECORD_ROOM" flag:"record-room" default:"1Gi" desc:"how much disk they take at most, answers included"`

	RandomPorts bool `envconfig:"STOKER_RANDOM_PORTS" flag:"random-ports" desc:"choose free ports for a new data directory instead of the well-known ones"`

	GPUs     int           `envconfig:"STOKER_GPUS" flag:"gpus" default:"0" desc:"simulated GPU slots, where there is no NVIDIA driver; 0: the driver's GPUs, or one simulated slot without a driver"`
	Provider string        `envconfig:"STOKER_PROVIDER" flag:"provider" default:"local" desc:"where replicas run: local, kubernetes, or simulated (instant, serves nothing)"`
	Pool     string        `envconfig:"STOKER_POOL" flag:"pool" default:"default" desc:"name of this platform's GPU pool"`
	Training int           `envconfig:"STOKER_TRAINING_GPUS" flag:"training-gpus" default:"-1" desc:"GPUs that training jobs may hold by right; what inference leaves idle beyond them is lent to jobs that borrow, and recalled (-1: by right they may hold whatever is free)"`
	GiveBack time.Duration `envconfig:"STOKER_LOAN_GIVE_BACK" flag:"loan-give-back" default:"2m" desc:"the longest that inference may wait for GPUs it has lent: jobs whose borrow.maxGiveBackSeconds is more are not taken"`
	Queues   string        `envconfig:"STOKER_QUEUES" flag:"queues" desc:"file of the queues in which training jobs of namespaces wait, manifests of kind JobQueue, see deploy/queues/teams.yaml (default: one that all share)"`
	Prices   string        `envconfig:"STOKER_PRICES" flag:"prices" desc:"file of GPU prices, which of them the pool is had by, and budgets of namespaces, see deploy/prices/list.yaml (default: nothing is priced)"`
	Agent    string        `envconfig:"STOKER_AGENT" flag:"agent" desc:"path of stoker-agent (default: beside the executable, on PATH, or built once)"`

	Kubeconfig    string `envconfig:"STOKER_KUBECONFIG" flag:"kubeconfig" desc:"with --provider kubernetes, the file that says which cluster (default: $KUBECONFIG, ~/.kube/config, or the cluster stoker runs in)"`
	KubeNamespace string `envconfig:"STOKER_KUBE_NAMESPACE" flag:"kube-namespace" desc:"with --provider kubernetes, the namespace for what is the platform's own (default: the kubeconfig's)"`
	KubePriority  string `envconfig:"STOKER_KUBE_PRIORITY_CLASS" flag:"kube-priority-class" desc:"with --provider kubernetes, the priority class of the Pods (default: the cluster's)"`
	KubeVolume    string `envconfig:"STOKER_KUBE_CHECKPOINTS" flag:"kube-checkpoints" desc:"with --provider kubernetes, the claim that training jobs keep their checkpoints on, as CLAIM or CLAIM:/PATH: a PersistentVolumeClaim of that name, which many nodes may write to, in the namespace of each job, mounted at /PATH (default: none, and no jobs; /mnt/checkpoints)"`
	AgentImage    string `envconfig:"STOKER_AGENT_IMAGE" flag:"agent-image" desc:"with --provider kubernetes, the image with stoker-agent as its entrypoint (default: stoker.dev/stoker-agent)"`
	AgentNATSURL  string `envconfig:"STOKER_AGENT_NATS_URL" flag:"agent-nats-url" hide:"user" desc:"with --provider kubernetes, the NATS server's address as Pods reach it (default: the platform's own)"`

	NATSListen string `envconfig:"STOKER_NATS_LISTEN" flag:"nats-listen" default:"127.0.0.1" desc:"IP address on which the embedded NATS server listens; another one than loopback wants --tls-cert, --tls-key and users"`

	NATSURL   string `envconfig:"STOKER_NATS_URL" flag:"nats-url" hide:"user" desc:"use this NATS server instead of the embedded one"`
	NATSCreds string `envconfig:"STOKER_NATS_CREDS" flag:"nats-creds" desc:"NATS credentials file of the platform"`
	NATSNKey  string `envconfig:"STOKER_NATS_NKEY" flag:"nats-nkey" desc:"NATS nkey seed file of the platform"`
	NATSCA    string `envconfig:"STOKER_NATS_CA" flag:"nats-ca" desc:"CA file that signed the NATS server's certificate"`
	NATSCert  string `envconfig:"STOKER_NATS_CERT" flag:"nats-cert" desc:"client certificate file for NATS"`
	NATSKey   string `envconfig:"STOKER_NATS_KEY" flag:"nats-key" desc:"client key file for NATS"`

	AgentNATSCreds string `envconfig:"STOKER_AGENT_NATS_CREDS" flag:"agent-nats-creds" desc:"NATS credentials file of the agents, with an external server (default: the platform's)"`

	TemporalAddress string `envconfig:"STOKER_TEMPORAL_ADDRESS" flag:"temporal-address" hide:"user" desc:"use this Temporal server instead of the embedded one; namespace, TLS and API key by TEMPORAL_* variables"`

	SyncInterval time.Duration `envconfig:"STOKER_SYNC_INTERVAL" flag:"sync-interval" default:"2s" desc:"how often the embedded NATS syncs requests and records to disk: what a power cut may cost; 0 syncs each before it is acknowledged, at a twentieth of the throughput"`
	AcceptLoss   bool          `envconfig:"STOKER_ACCEPT_LOSS" flag:"accept-loss" desc:"start although files of the embedded NATS are damaged: what is damaged is moved aside, the rest goes on"`

	DrainGrace time.Duration `envconfig:"STOKER_DRAIN_GRACE" flag:"drain-grace" default:"30s" desc:"how long requests in flight may finish when the platform stops"`
	Pprof      string        `envconfig:"STOKER_PPROF" flag:"pprof" desc:"serve Go's profiles on this loopback address, such as 127.0.0.1:0 (default: off)"`
	Decisions  string        `envconfig:"STOKER_DECISIONS" flag:"decisions" desc:"append every scaling decision and what it was made of to this file, up to 1 GiB; stoker decide --replay makes them again (default: off)"`
	LogLevel   string        `envconfig:"STOKER_LOG_LEVEL" flag:"log-level" default:"info" desc:"debug, info, warn or error"`
	LogFormat  string        `envconfig:"STOKER_LOG_FORMAT" flag:"log-format" default:"text" desc:"text or json"`
}

// Load reads defaults and environment. A variable that cannot be read is an error that names
// it, its value and what is allowed.
func Load() (Config, error) {
	var c Config
	if err := envconfig.Process("", &c); err != nil {
		var parse *envconfig.ParseError
		if errors.As(err, &parse) {
			return c, fmt.Errorf("%s=%q in the environment: allowed: %s; correct it or unset it", parse.KeyName, parse.Value, wanted(parse.TypeName))
		}
		return c, fmt.Errorf("read the environment: %w", err)
	}
	if c.DataDir == "" {
		dir, err := datadir.Default()
		if err != nil {
			return c, err
		}
		c.DataDir = dir
	}
	return c, nil
}

// DefaultCheckpoints is where the claim of [Config.Checkpoints] is mounted if nobody says.
const DefaultCheckpoints = "/mnt/checkpoints"

// Checkpoints are the claim of training jobs on Kubernetes and where Pods have it; nothing if there is none.
func (c Config) Checkpoints() (claim, at string) {
	if c.KubeVolume == "" {
		return "", ""
	}
	claim, at, _ = strings.Cut(c.KubeVolume, ":")
	return claim, cmp.Or(at, DefaultCheckpoints)
}

// UsersFile is where the users are.
func (c Config) UsersFile() string {
	if c.Users != "" {
		return c.Users
	}
	return datadir.UsersOf(c.DataDir)
}

// wanted says in words what a variable of a type holds.
func wanted(typeName string) string {
	switch typeName {
	case "bool":
		return "true or false"
	case "int":
		return "a whole number, such as 2"
	case "time.Duration":
		return "a duration, such as 30s or 1m30s"
	}
	return typeName
}

// Bind makes a flag of every setting, with the value in force as its default, so that a flag
// overrides the environment.
func (c *Config) Bind(fs *pflag.FlagSet) {
	v := reflect.ValueOf(c).Elem()
	for i := range v.NumField() {
		f, tag := v.Field(i).Addr().Interface(), v.Type().Field(i).Tag
		name, help := tag.Get("flag"), tag.Get("desc")+" [$"+tag.Get("envconfig")+"]"
		switch p := f.(type) {
		case *string:
			fs.StringVar(p, name, *p, help)
		case *bool:
			fs.BoolVar(p, name, *p, help)
		case *int:
			fs.IntVar(p, name, *p, help)
		case *time.Duration:
			fs.DurationVar(p, name, *p, help)
		}
	}
}

// Logger makes the platform's logger, writing to standard error.
func (c Config) Logger() *slog.Logger {
	var level slog.Level
	if err := level.UnmarshalText([]byte(c.LogLevel)); err != nil {
		level = slog.LevelInfo
	}
	o := &slog.HandlerOptions{Level: level}
	if c.LogFormat == "json" {
		return slog.New(slog.NewJSONHandler(os.Stderr, o))
	}
	return slog.New(slog.NewTextHandler(os.Stderr, o))
}
