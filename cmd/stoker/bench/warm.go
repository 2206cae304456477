package bench

import (
	"context"
	"encoding/json"
	"fmt"
	"path/filepath"

	"stoker.dev/stoker/events"
	"stoker.dev/stoker/functions"
)

// warmKey is the function under load beside those at zero; its one replica stays.
var warmKey = functions.Key{Namespace: "default", Name: "warm"}

const warmManifest = `{"apiVersion":"stoker.dev/v1","kind":"Function","metadata":{"name":"warm"},"spec":{
"runtime":{"local":{"command":%s}},"resources":{"gpus":0},"scaling":{"min":1,"max":1,"slots":64}}}`

// warmLoad keeps a function warm, agent and model server in processes of their own, and measures
// what its requests cost the platform.
func warmLoad(ctx context.Context, u *up, o IdleOptions) (LoadReport, error) {
	fmt.Fprintln(o.Progress, "one more function, warm, under load")
	if err := deployWarm(ctx, u, o.Self); err != nil {
		return LoadReport{}, err
	}
	admin, err := dialOwner(u.server.NATS, u.server.AdminToken)
	if err != nil {
		return LoadReport{}, err
	}
	defer admin.Close()
	caller, err := events.Connect(events.NATSAccess{URL: u.server.NATS}, events.ConnectOptions{Name: "stoker bench caller", Once: true})
	if err != nil {
		return LoadReport{}, err
	}
	defer caller.Close()
	p := u.probe
	p.bus = admin
	return load{o.Load, caller, warmKey}.measure(ctx, p)
}

func deployWarm(ctx context.Context, u *up, self string) error {
	command, err := json.Marshal([]string{self, "bench", "part", "backend", filepath.Join(u.dir, "warm-address")})
	if err != nil {
		return err
	}
	if _, err := u.client.Apply(ctx, "bench", fmt.Appendf(nil, warmManifest, command), false); err != nil {
		return err
	}
	return u.await(ctx, readyWithin, "serving", func() (bool, error) {
		fn, err := u.client.Get(ctx, warmKey)
		return fn.Ready == 1, err
	})
}
