package activities

import (
	"context"
	"errors"
	"fmt"

	"stoker.dev/stoker/events"
	"stoker.dev/stoker/functions"
)

// Manifests is where deployed manifests are kept, by [events.StateKey]. Errors:
// [events.ErrNotFound].
type Manifests interface {
	Get(ctx context.Context, key string) (events.FunctionRecord, uint64, error)
}

// manifest reads what replicas of a revision run with. Only the newest revision can be started;
// any other is [ErrSuperseded].
func (a *Activities) manifest(ctx context.Context, k functions.Key, revision string) (functions.Spec, error) {
	rec, _, err := a.Manifests.Get(ctx, events.StateKey(k))
	if errors.Is(err, events.ErrNotFound) {
		return functions.Spec{}, fmt.Errorf("%w: %s is not deployed any more", ErrSuperseded, k)
	}
	if err != nil {
		return functions.Spec{}, fmt.Errorf("read the manifest of %s: %w", k, err)
	}
	if rec.Revision != revision {
		return functions.Spec{}, fmt.Errorf("%w: %s has revision %s now, not %s", ErrSuperseded, k, rec.Revision, revision)
	}
	return rec.Function.Spec, nil
}
