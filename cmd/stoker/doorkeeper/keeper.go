package doorkeeper

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"fmt"
	"log/slog"
	"reflect"
	"sync"
	"time"

	"stoker.dev/stoker/cmd/stoker/access"
)

// lookEvery is how often the file is looked at when nobody comes: one stat.
const lookEvery = time.Second

// Options of a doorkeeper. Token and Users are needed.
type Options struct {
	Token     string // the platform's own
	Users     string // path of the users file; it need not exist
	Anonymous bool   // callers without credentials are let in, as [access.Nobody]
	Log       *slog.Logger
}

// Keeper decides who comes in. It is safe for concurrent use.
type Keeper struct {
	o     Options
	token [sha256.Size]byte

	mu     sync.RWMutex
	stamp  stamp // of the file in force, or of the bad one that is not
	users  access.Users
	byHash map[string]access.Principal
	byKey  map[string]access.Principal
	told   access.Users // whose losses of rights Run has told of
}

// Open reads the users file. Errors: [access.ErrUsers], or why it cannot be read.
func Open(o Options) (*Keeper, error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	k := &Keeper{o: o, token: sha256.Sum256([]byte(o.Token))}
	u, at, err := read(o.Users)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", o.Users, err)
	}
	k.use(u, at)
	k.told = u
	return k, nil
}

// use puts users in force.
func (k *Keeper) use(u access.Users, at stamp) {
	k.users, k.stamp = u, at
	k.byHash, k.byKey = map[string]access.Principal{}, map[string]access.Principal{}
	for _, x := range u.List {
		if x.Token != "" {
			k.byHash[x.Token] = x.Principal()
		}
		if x.NKey != "" {
			k.byKey[x.NKey] = x.Principal()
		}
	}
}

// look reads the file again where it changed.
func (k *Keeper) look() {
	k.mu.RLock()
	same := stat(k.o.Users) == k.stamp
	k.mu.RUnlock()
	if same {
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	u, at, err := read(k.o.Users)
	if err != nil {
		if at != k.stamp {
			k.o.Log.Error("the users file is not used as it is now; who could come in before still can", "file", k.o.Users, "error", err)
		}
		k.stamp = at // said once
		return
	}
	k.o.Log.Info("users read again", "file", k.o.Users, "users", len(u.List))
	k.use(u, at)
}

// ByToken is whose token it is; "" is nobody's. The second value is false where that one is not
// let in. Tokens are compared by their hashes, so that the time it takes tells nothing of them.
func (k *Keeper) ByToken(token string) (access.Principal, bool) {
	sum := sha256.Sum256([]byte(token))
	if k.o.Token != "" && subtle.ConstantTimeCompare(sum[:], k.token[:]) == 1 {
		return access.Platform(), true
	}
	k.look()
	k.mu.RLock()
	defer k.mu.RUnlock()
	if token == "" {
		return access.Nobody(len(k.users.List) == 0), k.o.Anonymous
	}
	p, ok := k.byHash[access.Hash(token)]
	return p, ok
}

// ByKey is whose nkey it is. That they hold the private half is for the caller to check.
func (k *Keeper) ByKey(public string) (access.Principal, bool) {
	k.look()
	k.mu.RLock()
	defer k.mu.RUnlock()
	p, ok := k.byKey[public]
	return p, ok
}

// Users is how many there are.
func (k *Keeper) Users() int {
	k.look()
	k.mu.RLock()
	defer k.mu.RUnlock()
	return len(k.users.List)
}

// Run looks at the file until ctx ends, and calls gone with the names of users whose credentials
// or rights changed or went: what they have open is to be closed. anonymous is among them, as "",
// when the first user came or the last one went, since that changes what the others may do.
func (k *Keeper) Run(ctx context.Context, gone func(names []string)) {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		k.look()
		k.mu.Lock()
		names := changed(k.told, k.users)
		k.told = k.users
		k.mu.Unlock()
		if len(names) > 0 {
			gone(names)
		}
	}
}

// changed are the users of before who are not the same now.
func changed(before, now access.Users) []string {
	var names []string
	for _, x := range before.List {
		if y, ok := now.Find(x.Name); !ok || !reflect.DeepEqual(x, y) {
			names = append(names, x.Name)
		}
	}
	if (len(before.List) == 0) != (len(now.List) == 0) {
		names = append(names, "")
	}
	return names
}
