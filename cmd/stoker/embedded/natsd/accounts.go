package natsd

import (
	"fmt"

	"github.com/nats-io/nats-server/v2/server"

	"stoker.dev/stoker/events"
)

// guestAccount is where users and clients without credentials are. An account is a subject space
// of its own, and two things cross the border between this one and the platform's:
//
//	guests                                         platform
//	stoker.fn.<ns>.<fn>.<class>   ── service ──►   the shards' streams; the broker's
//	                              ◄──────────      acknowledgement, to the guest alone
//	stoker.invoke.<ns>.<fn>       ── stream ───►   the gateway
//	_INBOX.>, _R.user.>           ◄── stream ──    answers of agents and gateway
//
// Permissions would not do. They bind what a client publishes, not where it asks to be answered,
// and the broker acknowledges a stored message on whatever subject that is. In one account with
// the platform, whoever may publish a request could have the acknowledgement stored as a
// terminal record, a manifest or the ledger. Here that subject means nothing to the platform.
const guestAccount = "guests"

// openBorder makes the guests' account, after the start, since a broker that starts with more
// than one account gives JetStream to none by itself, and before anybody subscribes:
// subscriptions see only what was imported before them.
func openBorder(ns *server.Server) (*server.Account, error) {
	guests, err := ns.RegisterAccount(guestAccount)
	if err != nil {
		return nil, fmt.Errorf("%w: account of guests: %w", ErrStart, err)
	}
	platform := ns.GlobalAccount()
	one := []*server.Account{guests}
	for _, step := range []func() error{
		func() error { return platform.AddServiceExport(events.AllClasses, one) },
		func() error { return guests.AddServiceImport(platform, events.AllClasses, events.AllClasses) },
		func() error { return guests.AddStreamExport(events.AllInvokes, []*server.Account{platform}) },
		func() error { return platform.AddStreamImport(guests, events.AllInvokes, "") },
		func() error { return platform.AddStreamExport(events.AllPlainInboxes, one) },
		func() error { return guests.AddStreamImport(platform, events.AllPlainInboxes, "") },
		func() error { return platform.AddStreamExport(events.AllUserInboxes, one) },
		func() error { return guests.AddStreamImport(platform, events.AllUserInboxes, "") },
	} {
		if err := step(); err != nil {
			return nil, fmt.Errorf("%w: account of guests: %w", ErrStart, err)
		}
	}
	return guests, nil
}
