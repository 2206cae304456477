package platform

import (
	"context"
	"errors"
	"slices"
	"testing"

	"stoker.dev/stoker/events"
)

// bucket writes down what is called.
type bucket struct {
	calls *[]string
	err   error
}

func (b bucket) Get(context.Context, string) (int, uint64, error) {
	*b.calls = append(*b.calls, "get")
	return 0, 0, b.err
}

func (b bucket) Put(context.Context, string, int, uint64) (uint64, error) {
	*b.calls = append(*b.calls, "put")
	return 7, b.err
}

func (b bucket) Delete(context.Context, string, uint64) error {
	*b.calls = append(*b.calls, "delete")
	return b.err
}

func (b bucket) List(context.Context) ([]events.Entry[int], error) {
	*b.calls = append(*b.calls, "list")
	return nil, b.err
}

func TestADurableWriteIsSyncedBeforeItReturns(t *testing.T) {
	full, refused := errors.New("input/output error"), errors.New("refused")
	for name, tc := range map[string]struct {
		store, disk error // what the bucket and the disk answer
		want        []string
	}{
		"all well":           {nil, nil, []string{"get", "put", "sync", "delete", "sync", "list"}},
		"the bucket refuses": {refused, nil, []string{"get", "put", "delete", "list"}},
		"the disk fails":     {nil, full, []string{"get", "put", "sync", "delete", "sync", "list"}},
	} {
		t.Run(name, func(t *testing.T) {
			var calls []string
			d := durable[int]{KV: bucket{&calls, tc.store}, sync: func() error { calls = append(calls, "sync"); return tc.disk }}
			_, _, _ = d.Get(t.Context(), "k")
			_, putErr := d.Put(t.Context(), "k", 1, 0)
			deleteErr := d.Delete(t.Context(), "k", 1)
			_, _ = d.List(t.Context())
			want := errors.Join(tc.store, tc.disk)
			for verb, err := range map[string]error{"put": putErr, "delete": deleteErr} {
				if (err == nil) != (want == nil) {
					t.Errorf("%s: got %v, want %v", verb, err, want)
				}
			}
			if !slices.Equal(calls, tc.want) {
				t.Errorf("calls %v, want %v", calls, tc.want)
			}
		})
	}
}
