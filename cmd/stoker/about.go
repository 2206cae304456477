package main

import (
	"fmt"
	"io"
	"os"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"

	"stoker.dev/stoker/cmd/stoker/config"
)

// release is set by the linker of a release build.
var release = "dev"

// version is the release, with the commit it was built from where that is known.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return release
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			return release + "+" + s.Value[:min(10, len(s.Value))]
		}
	}
	return release
}

func (a *app) versionCommand() *cobra.Command {
	var out format
	c := &cobra.Command{
		Use:   "version",
		Short: "Print the version, and those of the servers inside",
		Args:  exactly(0, "none"),
		RunE: func(*cobra.Command, []string) error {
			v := versions()
			return out.print(a.out, v, func(w io.Writer) error {
				fmt.Fprintf(w, "stoker %s (%s, %s/%s)\n", v["stoker"], v["go"], runtime.GOOS, runtime.GOARCH)
				fmt.Fprintf(w, "nats-server %s, temporal %s\n", v["nats-server"], v["temporal"])
				return nil
			})
		},
	}
	out.bind(c)
	return c
}

// versions are those of this program and of what it embeds.
func versions() map[string]string {
	v := map[string]string{"stoker": version(), "go": runtime.Version()}
	names := map[string]string{"github.com/nats-io/nats-server/v2": "nats-server", "go.temporal.io/server": "temporal"}
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, d := range info.Deps {
			if name, ok := names[d.Path]; ok {
				v[name] = d.Version
			}
		}
	}
	return v
}

// warnUnknown points out misspelt settings: they have no effect, and somebody thinks they do.
func (a *app) warnUnknown() {
	for _, text := range config.Unknown(os.Environ()) {
		fmt.Fprintln(a.err, "warning:", text)
	}
}

func (a *app) configCommand() *cobra.Command {
	var out format
	c := &cobra.Command{
		Use:   "config",
		Short: "Print the settings in force and where each comes from",
		Long: `Print the settings "stoker up" would run with: defaults, then the environment, then the flags
given here. Names and passwords in addresses are hidden.`,
		Example: "  stoker config\n  STOKER_GPUS=2 stoker config --listen 127.0.0.1:9000 -o json",
		Args:    exactly(0, "none"),
	}
	c.RunE = func(c *cobra.Command, _ []string) error {
		a.warnUnknown()
		if err := a.config.Validate(); err != nil {
			return err
		}
		settings := a.config.Settings(c.Flags())
		return out.print(a.out, settings, func(w io.Writer) error {
			rows := make([][]string, len(settings))
			for i, s := range settings {
				rows[i] = []string{s.Variable, s.Flag, dash(s.Value), s.Source}
			}
			return table(w, "VARIABLE FLAG VALUE FROM", rows)
		})
	}
	a.config.Bind(c.Flags())
	out.bind(c)
	return c
}
