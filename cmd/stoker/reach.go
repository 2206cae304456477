package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"stoker.dev/stoker/cmd/stoker/api"
	"stoker.dev/stoker/cmd/stoker/datadir"
	"stoker.dev/stoker/events"
)

// client finds the running platform: through the data directory, with its token and its
// certificate, or, with --server, elsewhere, with a token and a CA that are given. What the data
// directory holds goes to no other address.
func (a *app) client() (*api.Client, datadir.Server, error) {
	s, err := datadir.ReadServer(a.config.DataDir)
	if a.server != "" && a.server != s.HTTP {
		s, err = datadir.Server{HTTP: a.server, CertFile: a.ca}, nil
	}
	if err != nil {
		return nil, s, err
	}
	if a.token != "" {
		s.AdminToken = a.token
	}
	hc, err := api.Trust(s.CertFile, s.CertName)
	if err != nil {
		return nil, s, err
	}
	return api.NewClient(s.HTTP, s.AdminToken, hc), s, nil
}

func (a *app) inbox(user string) string { return events.UserInbox(user) }

func (a *app) uiCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "ui",
		Short: "Print a link that lets a browser into Temporal's UI, once",
		Long: `Print a link to Temporal's UI, which shows every function's workflow as a logbook. The link works
once, within a minute; the browser stays in for twelve hours, or until the platform restarts.`,
		Example: "  stoker ui",
		Args:    exactly(0, "none"),
		RunE: func(c *cobra.Command, _ []string) error {
			cl, _, err := a.client()
			if err != nil {
				return err
			}
			link, err := cl.Login(c.Context())
			if err != nil {
				return err
			}
			fmt.Fprintln(a.out, link)
			return nil
		},
	}
}
