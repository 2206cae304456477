package main

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"stoker.dev/stoker/cmd/stoker/access"
	"stoker.dev/stoker/cmd/stoker/doorkeeper"
)

func (a *app) userCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "user",
		Short: "Who may use the platform: users, their roles and namespaces",
		Long: `Manage the users file of the platform on this machine, whether it runs or not; a running one
takes every change over within a second. A user has a role within some namespaces, or all:

  viewer    looks: lists, descriptions, decisions, events, metrics
  caller    sends requests too, over HTTP and NATS, and reads their records
  deployer  applies, scales, pauses and deletes functions too, reads logs and dead letters
  admin     everything, Temporal and its UI among it; in every namespace

and a token, which is printed once and kept as a hash, or an nkey for NATS.`,
		Example: "  stoker user add alice --role caller --in team-a\n  stoker user list",
	}
	c.PersistentFlags().StringVar(&a.config.Users, "users", a.config.Users, "the users file, where it is not users.yaml in the data directory [$STOKER_USERS]")
	c.AddCommand(a.userAddCommand(), a.userListCommand(), a.userRotateCommand(), a.userRemoveCommand())
	return c
}

func (a *app) userAddCommand() *cobra.Command {
	var in []string
	var role, nkey string
	c := &cobra.Command{
		Use:     "add NAME --role ROLE",
		Short:   "Let somebody in, and print their token",
		Example: "  stoker user add alice --role caller --in team-a,team-b\n  stoker user add root --role admin\n  stoker user add batch --role caller --in team-a --nkey UDXU4RCSJNZOIQHZNWXHXORDPRTGNJAHAHFRGZNEEJCPQTT2M7NLCNF4",
		Args:    exactly(1, "the NAME of the user"),
		RunE: func(_ *cobra.Command, args []string) error {
			if role == "" {
				return usageError{errors.New("give a --role: viewer, caller, deployer or admin")}
			}
			u := access.User{Name: args[0], Role: access.Role(role), Namespaces: in, NKey: nkey}
			token := ""
			if nkey == "" {
				token = access.NewToken(u.Name)
				u.Token = access.Hash(token)
			}
			if err := doorkeeper.Edit(a.config.UsersFile(), func(all access.Users) (access.Users, error) { return all.With(u) }); err != nil {
				return err
			}
			fmt.Fprintf(a.err, "%s is %s in %s, by %s\n", u.Name, u.Role, u.Principal().Scope(), a.config.UsersFile())
			a.tellToken(u.Name, token)
			return nil
		},
	}
	c.Flags().StringVar(&role, "role", "", "viewer, caller, deployer or admin")
	c.Flags().StringSliceVar(&in, "in", []string{access.Everywhere}, "namespaces, separated by commas")
	c.Flags().StringVar(&nkey, "nkey", "", "public nkey for NATS, instead of a token")
	_ = c.RegisterFlagCompletionFunc("role", cobra.FixedCompletions([]string{"viewer", "caller", "deployer", "admin"}, cobra.ShellCompDirectiveNoFileComp))
	return c
}

// tellToken prints a token where scripts read it, and how it is used where people do.
func (a *app) tellToken(name, token string) {
	if token != "" {
		fmt.Fprintln(a.out, token)
		fmt.Fprintf(a.err, "the token above is not shown again\n  HTTP  Authorization: Bearer TOKEN, or STOKER_TOKEN=TOKEN for stoker itself\n  NATS  nats --user TOKEN --inbox-prefix %s request …\n", a.inbox(name))
		return
	}
	fmt.Fprintf(a.err, "  NATS  nats --nkey SEEDFILE --inbox-prefix %s request …\n", a.inbox(name))
}

func (a *app) userListCommand() *cobra.Command {
	var out format
	c := &cobra.Command{
		Use:     "list",
		Short:   "List the users",
		Example: "  stoker user list\n  stoker user list -o json",
		Args:    exactly(0, "none"),
		RunE: func(*cobra.Command, []string) error {
			all, err := doorkeeper.Read(a.config.UsersFile())
			if err != nil {
				return err
			}
			return out.print(a.out, listed(all), func(w io.Writer) error {
				if len(all.List) == 0 {
					fmt.Fprintln(a.err, "no users; `stoker user add` makes one")
					return nil
				}
				return userTable(w, all)
			})
		},
	}
	out.bind(c)
	return c
}

// shownUser is a user without the hash of their token, which is nobody's business.
type shownUser struct {
	Name       string      `json:"name"`
	Role       access.Role `json:"role"`
	Namespaces []string    `json:"namespaces"`
	Token      bool        `json:"token"`
	NKey       string      `json:"nkey,omitempty"`
}

func listed(all access.Users) []shownUser {
	out := []shownUser{}
	for _, u := range all.List {
		out = append(out, shownUser{Name: u.Name, Role: u.Role, Namespaces: u.Namespaces, Token: u.Token != "", NKey: u.NKey})
	}
	return out
}

func userTable(w io.Writer, all access.Users) error {
	var rows [][]string
	for _, u := range all.List {
		var by []string
		if u.Token != "" {
			by = append(by, "token")
		}
		if u.NKey != "" {
			by = append(by, "nkey "+u.NKey)
		}
		rows = append(rows, []string{u.Name, string(u.Role), strings.Join(u.Namespaces, ","), strings.Join(by, ", ")})
	}
	return table(w, "NAME ROLE NAMESPACES BY", rows)
}

func (a *app) userRotateCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "rotate NAME",
		Short:   "Give a user a new token; the old one is worthless at once",
		Example: "  stoker user rotate alice",
		Args:    exactly(1, "the NAME of the user"),
		RunE: func(_ *cobra.Command, args []string) error {
			token := access.NewToken(args[0])
			err := doorkeeper.Edit(a.config.UsersFile(), func(all access.Users) (access.Users, error) { return all.WithToken(args[0], token) })
			if err != nil {
				return err
			}
			a.tellToken(args[0], token)
			return nil
		},
		ValidArgsFunction: a.completeUsers,
	}
}

func (a *app) userRemoveCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "remove NAME",
		Short:   "Let a user in no more, and end what they have open",
		Example: "  stoker user remove alice",
		Args:    exactly(1, "the NAME of the user"),
		RunE: func(_ *cobra.Command, args []string) error {
			err := doorkeeper.Edit(a.config.UsersFile(), func(all access.Users) (access.Users, error) { return all.Without(args[0]) })
			if err != nil {
				return err
			}
			fmt.Fprintf(a.err, "%s is out\n", args[0])
			return nil
		},
		ValidArgsFunction: a.completeUsers,
	}
}

func (a *app) completeUsers(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	all, err := doorkeeper.Read(a.config.UsersFile())
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	var names []string
	for _, u := range all.List {
		names = append(names, u.Name)
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}
