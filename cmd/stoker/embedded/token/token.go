// Package token mints and verifies the credentials of agents on the embedded broker: a
// signed statement of which replica the bearer is, and until when. Nothing is stored, so an
// agent that outlived a platform is known to the next one by the same key.
//
//	minted ──► in force ──► half its life is over: renewed, and the agent finds the new one in
//	              │         the file it reads at every connect
//	              ├───────► expired: refused, until the platform renews it. A platform that was
//	              │         away for longer than a token lasts does so when it starts
//	              └───────► its replica is gone: revoked by the broker
package token

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"stoker.dev/stoker/functions"
)

// ErrInvalid is returned when a token was not minted with the key, or names something that
// cannot be part of a subject.
var ErrInvalid = errors.New("invalid agent token")

// ErrExpired is returned when a token was valid once.
var ErrExpired = errors.New("agent token expired")

// prefix versions the format and lets a reader of a config file see what it holds.
const prefix = "stoker-agent-v2"

// Life is how long a token lasts. It outlives a night without a platform, and a stolen one is
// worthless after a day.
const Life = 24 * time.Hour

// Claims say who an agent is. Permissions are derived from them by the broker, so that they
// can be tightened without minting tokens anew.
type Claims struct {
	Key     functions.Key `json:"key"`
	Replica string        `json:"replica"`
	Stream  string        `json:"stream"` // the function's shard
	Until   int64         `json:"until"`  // Unix seconds
}

// Expires is when the token is no longer taken.
func (c Claims) Expires() time.Time { return time.Unix(c.Until, 0) }

// Mint signs claims with key (32 bytes, see datadir.Keys). They last for [Life] from now on.
func Mint(key []byte, c Claims, now time.Time) string {
	c.Until = now.Add(Life).Unix()
	payload, err := json.Marshal(c)
	if err != nil {
		panic(err) // strings only: cannot fail
	}
	body := prefix + "." + base64.RawURLEncoding.EncodeToString(payload)
	return body + "." + base64.RawURLEncoding.EncodeToString(sign(key, body))
}

// Verify reads the claims back. Errors: [ErrInvalid], which never says why in detail, since
// the asker may be anyone, and [ErrExpired].
func Verify(key []byte, tok string, now time.Time) (Claims, error) {
	c, err := read(key, tok)
	if err == nil && !now.Before(c.Expires()) {
		return Claims{}, fmt.Errorf("%w: at %s", ErrExpired, c.Expires().UTC().Format(time.RFC3339))
	}
	return c, err
}

// Renew mints a token with the claims of another, which may have expired. The asker is the
// platform itself, which knows that the replica lives. Error: [ErrInvalid].
func Renew(key []byte, tok string, now time.Time) (string, error) {
	c, err := read(key, tok)
	if err != nil {
		return "", err
	}
	return Mint(key, c, now), nil
}

func read(key []byte, tok string) (Claims, error) {
	cut := strings.LastIndexByte(tok, '.')
	if cut < 0 || !strings.HasPrefix(tok, prefix+".") {
		return Claims{}, ErrInvalid
	}
	mac, err := base64.RawURLEncoding.DecodeString(tok[cut+1:])
	if err != nil || !hmac.Equal(mac, sign(key, tok[:cut])) {
		return Claims{}, ErrInvalid
	}
	return parse(strings.TrimPrefix(tok[:cut], prefix+"."))
}

func parse(body string) (Claims, error) {
	payload, err := base64.RawURLEncoding.DecodeString(body)
	if err != nil {
		return Claims{}, fmt.Errorf("%w: not base64", ErrInvalid)
	}
	var c Claims
	if err := json.Unmarshal(payload, &c); err != nil {
		return Claims{}, fmt.Errorf("%w: not JSON", ErrInvalid)
	}
	return c, c.check()
}

// check refuses what would widen a permission when put into a subject: a signed mistake
// ("*" as a replica) must not become a wildcard.
func (c Claims) check() error {
	for _, s := range []string{c.Key.Namespace, c.Key.Name, c.Replica, c.Stream} {
		if s == "" || strings.ContainsAny(s, ".*> \t\r\n") {
			return fmt.Errorf("%w: %q is not one subject token", ErrInvalid, s)
		}
	}
	return nil
}

func sign(key []byte, body string) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(body))
	return h.Sum(nil)
}
