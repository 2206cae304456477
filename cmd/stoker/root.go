package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"stoker.dev/stoker/cmd/stoker/api"
	"stoker.dev/stoker/cmd/stoker/config"
	"stoker.dev/stoker/functions"
)

// streams are where a command reads and writes.
type streams struct {
	in  io.Reader
	out io.Writer // what was asked for
	err io.Writer // progress, hints and errors
	now func() time.Time
}

// app is what all commands share.
type app struct {
	*streams
	config    config.Config
	namespace string
	server    string // base URL, overriding the data directory's
	token     string // overriding the data directory's
	ca        string // of the platform at server
}

// tokenVariable is the environment's --token.
const tokenVariable = "STOKER_TOKEN"

func newRoot(s *streams) *cobra.Command {
	a := &app{streams: s}
	root := &cobra.Command{
		Use:   "stoker",
		Short: "Event-driven scaling for GPUs: publish an event, a model wakes, answers and goes.",
		Long: `stoker runs models on GPUs and wakes them by events.

  stoker demo            see it all work, in about two minutes
  stoker up              run the platform here
  stoker apply -f FILE   deploy a function
  stoker invoke NAME     send it a request

` + exitCodes,
		Example:      "  stoker demo\n  stoker up --gpus 2",
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
	root.PersistentPreRunE = func(*cobra.Command, []string) error {
		if a.token == "" {
			a.token = os.Getenv(tokenVariable) // not a default, which the help would print
		}
		return err
	}
	a.flags(root)
	root.AddGroup(groups()...)
	root.AddCommand(a.commands()...)
	root.SetHelpCommandGroupID(groupMore)
	root.SetCompletionCommandGroupID(groupMore)
	root.InitDefaultHelpCmd()
	root.InitDefaultCompletionCmd()
	strict(root)
	return root
}

// suggestWithin is how many letters a misspelt command may be away from one that exists.
const suggestWithin = 2

// strict makes every mistake on the command line a usage error, those that cobra finds too, and
// lets a command that only holds others print its help.
func strict(c *cobra.Command) {
	for _, sub := range c.Commands() {
		strict(sub)
	}
	if !c.Runnable() {
		c.SuggestionsMinimumDistance = suggestWithin
		c.Args = unknownCommand
		c.RunE = func(c *cobra.Command, _ []string) error { return c.Help() }
	}
	check := c.Args
	if check == nil {
		return // help takes any words
	}
	c.Args = func(c *cobra.Command, args []string) error {
		err := check(c, args)
		if usage := (usageError{}); err == nil || errors.As(err, &usage) {
			return err
		}
		return usageError{fmt.Errorf("%w; see `%s --help`", err, c.CommandPath())}
	}
}

func unknownCommand(c *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	hint := fmt.Sprintf("`%s --help` lists all", c.CommandPath())
	if near := slices.Compact(c.SuggestionsFor(args[0])); len(near) > 0 {
		hint = "did you mean " + strings.Join(near, " or ") + "?"
	}
	return usageError{fmt.Errorf("%q is no command of %s; %s", args[0], c.CommandPath(), hint)}
}

// flags every command has.
func (a *app) flags(root *cobra.Command) {
	f := root.PersistentFlags()
	f.StringVar(&a.config.DataDir, "data-dir", a.config.DataDir, "data directory of the platform [$STOKER_DATA_DIR]")
	f.StringVarP(&a.namespace, "namespace", "n", "default", "namespace of functions named without one")
	f.StringVar(&a.server, "server", os.Getenv("STOKER_SERVER"), "base URL of the platform, where it is not found through the data directory [$STOKER_SERVER]")
	f.StringVar(&a.token, "token", "", "token of a user, instead of the one from the data directory; better by the variable, which no process list shows [$STOKER_TOKEN]")
	f.StringVar(&a.ca, "ca", os.Getenv("STOKER_CA"), "certificate file to trust at --server, beside this machine's authorities [$STOKER_CA]")
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

// target is the function an argument names, and a client to ask about it.
func (a *app) target(arg string) (functions.Key, *api.Client, error) {
	k, err := a.key(arg)
	if err != nil {
		return k, nil, err
	}
	cl, _, err := a.client()
	return k, cl, err
}

// one fetches the function an argument names.
func (a *app) one(c *cobra.Command, arg string) (api.Function, error) {
	k, cl, err := a.target(arg)
	if err != nil {
		return api.Function{}, err
	}
	return cl.Get(c.Context(), k)
}

// exactly wants n arguments and says what they are.
func exactly(n int, what string) cobra.PositionalArgs { return between(n, n, what) }

// between wants some arguments and says what they are.
func between(least, most int, what string) cobra.PositionalArgs {
	return func(c *cobra.Command, args []string) error {
		if len(args) < least || len(args) > most {
			return usageError{fmt.Errorf("%d argument(s) given, want %s; see `%s --help`", len(args), what, c.CommandPath())}
		}
		return nil
	}
}
