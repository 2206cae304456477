// Package config reads the platform's settings: defaults, then the environment (prefix
// STOKER_, by kelseyhightower/envconfig), then flags.
//
// Credentials of real servers use the ecosystem's own settings: a NATS credentials file, user
// and token in its URL and TLS files; Temporal's TEMPORAL_* variables and profiles.
package config

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"reflect"
	"strings"
	"time"

	"github.com/kelseyhightower/envconfig"
	"github.com/spf13/pflag"

	"stoker.dev/stoker/cmd/stoker/datadir"
)

// Prefix of every variable.
const Prefix = "STOKER"

// Config is what is in force. The desc tag is the help of flag and variable.
type Config struct {
	DataDir string `envconfig:"DATA_DIR" flag:"data" desc:"data directory (default $XDG_DATA_HOME/stoker or ~/.local/share/stoker)"`
	Listen  string `envconfig:"LISTEN" flag:"listen" default:"127.0.0.1:8080" desc:"address of the one HTTP port; loopback only"`

	RandomPorts bool `envconfig:"RANDOM_PORTS" flag:"random-ports" desc:"choose free ports for a new data directory instead of the well-known ones"`

	GPUs     int    `envconfig:"GPUS" flag:"gpus" default:"0" desc:"simulated GPU slots, where there is no NVIDIA driver; 0: the driver's GPUs, or one simulated slot without a driver"`
	Provider string `envconfig:"PROVIDER" flag:"provider" default:"local" desc:"where replicas run: local, or simulated (instant, serves nothing)"`
	Pool     string `envconfig:"POOL" flag:"pool" default:"default" desc:"name of this platform's GPU pool"`
	Agent    string `envconfig:"AGENT" flag:"agent" desc:"path of stoker-agent (default: beside the executable, on PATH, or built once)"`

	NATSURL   string `envconfig:"NATS_URL" flag:"nats-url" desc:"use this NATS server instead of the embedded one"`
	NATSCreds string `envconfig:"NATS_CREDS" flag:"nats-creds" desc:"NATS credentials file of the platform"`
	NATSNKey  string `envconfig:"NATS_NKEY" flag:"nats-nkey" desc:"NATS nkey seed file of the platform"`
	NATSCA    string `envconfig:"NATS_CA" flag:"nats-ca" desc:"CA file that signed the NATS server's certificate"`
	NATSCert  string `envconfig:"NATS_CERT" flag:"nats-cert" desc:"client certificate file for NATS"`
	NATSKey   string `envconfig:"NATS_KEY" flag:"nats-key" desc:"client key file for NATS"`

	AgentNATSCreds string `envconfig:"AGENT_NATS_CREDS" flag:"agent-nats-creds" desc:"NATS credentials file of the agents, with an external server (default: the platform's)"`

	TemporalAddress string `envconfig:"TEMPORAL_ADDRESS" flag:"temporal-address" desc:"use this Temporal server instead of the embedded one; namespace, TLS and API key by TEMPORAL_* variables"`

	DrainGrace time.Duration `envconfig:"DRAIN_GRACE" flag:"drain-grace" default:"30s" desc:"how long requests in flight may finish when the platform stops"`
	LogLevel   string        `envconfig:"LOG_LEVEL" flag:"log-level" default:"info" desc:"debug, info, warn or error"`
	LogFormat  string        `envconfig:"LOG_FORMAT" flag:"log-format" default:"text" desc:"text or json"`
}

// Load reads defaults and environment. A variable that cannot be read is an error that names
// it, its value and what is allowed.
func Load() (Config, error) {
	var c Config
	if err := envconfig.Process(Prefix, &c); err != nil {
		var parse *envconfig.ParseError
		if errors.As(err, &parse) {
			return c, fmt.Errorf("%s=%q: not a valid %s; unset it or correct it", parse.KeyName, parse.Value, parse.TypeName)
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

// Bind makes a flag of every setting, with the value in force as its default, so that a flag
// overrides the environment.
func (c *Config) Bind(fs *pflag.FlagSet) {
	v := reflect.ValueOf(c).Elem()
	for i := range v.NumField() {
		f, tag := v.Field(i).Addr().Interface(), v.Type().Field(i).Tag
		name, help := tag.Get("flag"), tag.Get("desc")+" [$"+Prefix+"_"+tag.Get("envconfig")+"]"
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

// Setting is one line of what `stoker config` prints.
type Setting struct {
	Variable string `json:"variable"`
	Flag     string `json:"flag"`
	Value    string `json:"value"`
	Source   string `json:"source"` // default, environment or flag
	Help     string `json:"help"`
}

// Settings lists what is in force and where it comes from. Passwords in addresses are hidden.
func (c Config) Settings(fs *pflag.FlagSet) []Setting {
	var out []Setting
	v := reflect.ValueOf(c)
	for i := range v.NumField() {
		tag := v.Type().Field(i).Tag
		s := Setting{
			Variable: Prefix + "_" + tag.Get("envconfig"), Flag: "--" + tag.Get("flag"),
			Value: redact(fmt.Sprint(v.Field(i).Interface())), Source: "default", Help: tag.Get("desc"),
		}
		if _, set := os.LookupEnv(s.Variable); set {
			s.Source = "environment"
		}
		if f := fs.Lookup(tag.Get("flag")); f != nil && f.Changed {
			s.Source = "flag"
		}
		out = append(out, s)
	}
	return out
}

// redact hides user and password of an address.
func redact(s string) string {
	scheme, rest, ok := strings.Cut(s, "://")
	if !ok {
		return s
	}
	if i := strings.LastIndex(rest, "@"); i >= 0 {
		return scheme + "://***@" + rest[i+1:]
	}
	return s
}

// Validate checks every setting and returns all that is wrong.
func (c Config) Validate() error {
	return errors.Join(
		c.loopback(),
		oneOf("provider", c.Provider, "local", "simulated"),
		oneOf("log-level", c.LogLevel, "debug", "info", "warn", "error"),
		oneOf("log-format", c.LogFormat, "text", "json"),
		atLeast("gpus", c.GPUs, 0),
		atLeast("drain-grace", int(c.DrainGrace), 0),
	)
}

// loopback refuses every other address: the HTTP port has no user accounts yet.
func (c Config) loopback() error {
	host, _, err := net.SplitHostPort(c.Listen)
	if err != nil {
		return fmt.Errorf("--listen %q: %w; give HOST:PORT, such as 127.0.0.1:8080", c.Listen, err)
	}
	if ip := net.ParseIP(host); host == "localhost" || (ip != nil && ip.IsLoopback()) {
		return nil
	}
	return fmt.Errorf("--listen %q: only loopback addresses are allowed: the platform has no user accounts yet; use 127.0.0.1 and a tunnel or a proxy that authenticates", c.Listen)
}

func oneOf(name, value string, allowed ...string) error {
	for _, a := range allowed {
		if value == a {
			return nil
		}
	}
	return fmt.Errorf("--%s %q: allowed: %s", name, value, strings.Join(allowed, ", "))
}

func atLeast(name string, value, least int) error {
	if value < least {
		return fmt.Errorf("--%s %d: must be %d or more", name, value, least)
	}
	return nil
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
