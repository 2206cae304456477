// Package token mints and verifies the credentials of agents on the embedded broker: a
// signed statement of which replica the bearer is. Nothing is stored, so an agent that
// outlived a platform is known to the next one by the same key.
package token

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"stoker.dev/stoker/functions"
)

// ErrInvalid is returned when a token was not minted with the key, or names something that
// cannot be part of a subject.
var ErrInvalid = errors.New("invalid agent token")

// prefix versions the format and lets a reader of a config file see what it holds.
const prefix = "stoker-agent-v1"

// Claims say who an agent is. Permissions are derived from them by the broker, so that they
// can be tightened without minting tokens anew.
type Claims struct {
	Key       functions.Key `json:"key"`
	Replica   string        `json:"replica"`
	Stream    string        `json:"stream"`    // the function's shard
	Consumers []string      `json:"consumers"` // durable consumers it may pull from
}

// Mint signs claims with key (32 bytes, see datadir.Keys).
func Mint(key []byte, c Claims) string {
	payload, err := json.Marshal(c)
	if err != nil {
		panic(err) // strings only: cannot fail
	}
	body := prefix + "." + base64.RawURLEncoding.EncodeToString(payload)
	return body + "." + base64.RawURLEncoding.EncodeToString(sign(key, body))
}

// Verify reads the claims back. Errors: [ErrInvalid], which never says why in detail, since
// the asker may be anyone.
func Verify(key []byte, tok string) (Claims, error) {
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
	for _, s := range append([]string{c.Key.Namespace, c.Key.Name, c.Replica, c.Stream}, c.Consumers...) {
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
