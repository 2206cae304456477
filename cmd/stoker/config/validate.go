package config

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"path"
	"reflect"
	"slices"
	"strings"
	"time"

	"stoker.dev/stoker/cmd/stoker/profile"
	"stoker.dev/stoker/functions"
)

// Validate checks every setting and returns all that is wrong.
func (c Config) Validate() error {
	return errors.Join(
		c.doors(),
		c.pprof(),
		oneOf("provider", c.Provider, "local", "kubernetes", "simulated"),
		c.kubernetes(),
		oneOf("log-level", c.LogLevel, "debug", "info", "warn", "error"),
		oneOf("log-format", c.LogFormat, "text", "json"),
		atLeast("gpus", c.GPUs, 0),
		atLeast("drain-grace", c.DrainGrace, 0),
		atLeast("loan-give-back", c.GiveBack, time.Second),
		c.syncInterval(),
		c.pool(),
		c.diskWatermark(),
		atLeast("records", c.Records, 1),
		c.recordRoom(),
		c.external(),
	)
}

// kubernetes refuses settings of a cluster that is not used.
func (c Config) kubernetes() error {
	if c.Provider == "kubernetes" {
		return c.checkpoints()
	}
	var errs []error
	for _, s := range []struct{ flag, value string }{
		{"kubeconfig", c.Kubeconfig}, {"kube-namespace", c.KubeNamespace}, {"kube-priority-class", c.KubePriority},
		{"kube-checkpoints", c.KubeVolume}, {"agent-image", c.AgentImage}, {"agent-nats-url", c.AgentNATSURL},
	} {
		if s.value != "" {
			errs = append(errs, wrong(s.flag, s.value, "nothing with --provider "+c.Provider+"; it is for --provider kubernetes"))
		}
	}
	return errors.Join(errs...)
}

// checkpoints are a claim's name and a directory of a Pod's own: over those of the image or of the agent
// nothing is mounted.
func (c Config) checkpoints() error {
	claim, at := c.Checkpoints()
	clean := path.IsAbs(at) && path.Clean(at) == at && !strings.ContainsAny(at, ":") && at != "/"
	taken := slices.ContainsFunc([]string{"/stoker", "/etc", "/proc", "/sys", "/dev"}, func(own string) bool {
		return at == own || strings.HasPrefix(at, own+"/")
	})
	if c.KubeVolume == "" || functions.ValidName(claim) && clean && !taken {
		return nil
	}
	return wrong("kube-checkpoints", c.KubeVolume, "CLAIM or CLAIM:/PATH, such as shared:/mnt/shared: the name of a PersistentVolumeClaim, and an absolute path outside of /stoker, /etc, /proc, /sys and /dev")
}

// pprof may be off; it may not be where others reach it.
func (c Config) pprof() error {
	if c.Pprof == "" || profile.Loopback(c.Pprof) {
		return nil
	}
	return wrong("pprof", c.Pprof, "HOST:PORT on loopback, such as 127.0.0.1:0, which picks a free port")
}

// Bounds of the sync interval: more often than the least, syncing each message costs no more;
// the most is the server's own default.
const (
	leastSync = 100 * time.Millisecond
	mostSync  = 2 * time.Minute
)

func (c Config) syncInterval() error {
	if c.SyncInterval == 0 || c.SyncInterval >= leastSync && c.SyncInterval <= mostSync {
		return nil
	}
	return wrong("sync-interval", c.SyncInterval.String(), fmt.Sprintf("%s to %s, or 0 to sync each message before it is acknowledged", leastSync, mostSync))
}

func (c Config) pool() error {
	if functions.ValidName(c.Pool) {
		return nil
	}
	return wrong("pool", c.Pool, "1 to 63 of a-z, 0-9 and -, as manifests name it in placement.pool")
}

// leastWatermark is what the streams and SQLite need to write at all: below it a disk that is
// nearly full would be noticed when it is full.
const leastWatermark = 1 << 20

func (c Config) diskWatermark() error {
	if c.Watermark() >= leastWatermark {
		return nil
	}
	return wrong("disk-watermark", c.DiskWatermark, "bytes from 1Mi, such as 256Mi or 2Gi")
}

// Watermark is how many bytes must be free on the data directory's disk.
func (c Config) Watermark() uint64 { return functions.Quantity(c.DiskWatermark).Bytes() }

// leastRecordRoom has room for the largest answers that fit into a message of the broker.
const leastRecordRoom = 16 << 20

func (c Config) recordRoom() error {
	if n := c.RecordBytes(); n >= leastRecordRoom && n <= math.MaxInt64 {
		return nil
	}
	return wrong("record-room", c.RecordRoom, "bytes from 16Mi, such as 1Gi")
}

// RecordBytes is how many bytes the terminal records may take.
func (c Config) RecordBytes() uint64 { return functions.Quantity(c.RecordRoom).Bytes() }

// external refuses settings of a NATS server that is not used: the embedded one has none of
// them, and somebody who set one expects it to count.
func (c Config) external() error {
	var errs []error
	if (c.NATSCert == "") != (c.NATSKey == "") {
		errs = append(errs, fmt.Errorf("--nats-cert and --nats-key: give both or neither; the server wants a certificate with its key"))
	}
	if c.NATSURL != "" {
		return errors.Join(errs...)
	}
	for _, s := range []struct{ flag, value string }{
		{"nats-creds", c.NATSCreds}, {"nats-nkey", c.NATSNKey}, {"nats-ca", c.NATSCA}, {"nats-cert", c.NATSCert}, {"nats-key", c.NATSKey},
		{"agent-nats-creds", c.AgentNATSCreds},
	} {
		if s.value != "" {
			errs = append(errs, wrong(s.flag, s.value, "only with --nats-url: the embedded server makes its own credentials"))
		}
	}
	return errors.Join(errs...)
}

func oneOf(flag, value string, allowed ...string) error {
	if slices.Contains(allowed, value) {
		return nil
	}
	return wrong(flag, value, strings.Join(allowed, ", "))
}

func atLeast[T cmp.Ordered](flag string, value, least T) error {
	if value >= least {
		return nil
	}
	return wrong(flag, fmt.Sprint(value), fmt.Sprintf("%v or more", least))
}

// wrong names a setting by its flag and its variable, since it may come from either.
func wrong(flag, value, allowed string) error {
	return fmt.Errorf("--%s (%s) %q: allowed: %s", flag, variable(flag), value, allowed)
}

// variable is the environment variable of a flag.
func variable(flag string) string {
	t := reflect.TypeFor[Config]()
	for i := range t.NumField() {
		if tag := t.Field(i).Tag; tag.Get("flag") == flag {
			return tag.Get("envconfig")
		}
	}
	return ""
}
