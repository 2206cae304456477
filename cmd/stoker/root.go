package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"stoker.dev/stoker/cmd/stoker/api"
	"stoker.dev/stoker/cmd/stoker/config"
	"stoker.dev/stoker/cmd/stoker/datadir"
	"stoker.dev/stoker/functions"
)

// streams are where a command reads and writes.
type streams struct {
	in  io.Reader
	out io.Writer // what was asked for
	err io.Writer // progress, hints and errors
}

// app is what all commands share.
type app struct {
	*streams
	config    config.Config
	namespace string
	server    string // base URL, overriding the data directory's
}

func newRoot(s *streams) *cobra.Command {
	a := &app{streams: s}
	root := &cobra.Command{
		Use:   "stoker",
		Short: "Event-driven scaling for GPUs: publish an event, a model wakes, answers and goes.",
		Long: `stoker runs models on GPUs and wakes them by events.

  stoker demo            see it all work, in about two minutes
  stoker up              run the platform here
  stoker apply -f FILE   deploy a function
  stoker invoke NAME     send it a request`,
		SilenceUsage: true, SilenceErrors: true,
	}
	root.SetIn(s.in)
	root.SetOut(s.out)
	root.SetErr(s.err)
	root.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		return usageError{fmt.Errorf("%w; see `%s --help`", err, c.CommandPath())}
	})
	loaded, err := config.Load()
	a.config = loaded
	root.PersistentPreRunE = func(*cobra.Command, []string) error { return err }
	a.flags(root)
	root.AddGroup(groups()...)
	root.AddCommand(a.commands()...)
	return root
}

// flags every command has.
func (a *app) flags(root *cobra.Command) {
	f := root.PersistentFlags()
	f.StringVar(&a.config.DataDir, "data", a.config.DataDir, "data directory of the platform [$STOKER_DATA_DIR]")
	f.StringVarP(&a.namespace, "namespace", "n", "default", "namespace of functions named without one")
	f.StringVar(&a.server, "server", "", "base URL of the platform, where it is not found through the data directory")
}

// client finds the running platform.
func (a *app) client() (*api.Client, datadir.Server, error) {
	s, err := datadir.ReadServer(a.config.DataDir)
	if a.server != "" {
		s.HTTP, err = a.server, nil
	}
	if err != nil {
		return nil, s, err
	}
	return api.NewClient(s.HTTP, s.AdminToken, nil), s, nil
}

// key reads NAME or NAMESPACE/NAME.
func (a *app) key(arg string) (functions.Key, error) {
	k := functions.Key{Namespace: a.namespace, Name: arg}
	if ns, name, ok := strings.Cut(arg, "/"); ok {
		k = functions.Key{Namespace: ns, Name: name}
	}
	if !functions.ValidName(k.Namespace) || !functions.ValidName(k.Name) {
		return k, usageError{fmt.Errorf("%q names no function: want NAME or NAMESPACE/NAME, lower-case letters, digits and \"-\"", arg)}
	}
	return k, nil
}

// exactly wants n arguments and says what they are.
func exactly(n int, what string) cobra.PositionalArgs {
	return func(c *cobra.Command, args []string) error {
		if len(args) != n {
			return usageError{fmt.Errorf("%d argument(s) given, want %s; see `%s --help`", len(args), what, c.CommandPath())}
		}
		return nil
	}
}
