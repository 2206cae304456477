package access

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"strings"
)

// tokenPrefix lets people and scanners for leaked secrets see what a token is.
const tokenPrefix = "stoker-user-v1."

// tokenSize is how much of a token is random, in bytes. 256 bits cannot be guessed or listed, so
// the users file holds a plain SHA-256 of each token: what slow password hashes guard against,
// trying out likely ones, does not work on them, and every connection would pay for it.
const tokenSize = 32

// hashPrefix names the hash in the users file.
const hashPrefix = "sha256:"

// NewToken makes a token for a user, whose name it carries for those who find it lying about.
func NewToken(name string) string {
	secret := make([]byte, tokenSize)
	_, _ = rand.Read(secret) // never fails: the runtime ends the process before
	return tokenPrefix + name + "." + base64.RawURLEncoding.EncodeToString(secret)
}

// Hash is what the users file keeps of a token.
func Hash(token string) string {
	sum := sha256.Sum256([]byte(token))
	return hashPrefix + hex.EncodeToString(sum[:])
}

// validHash tells whether a text is what [Hash] makes.
func validHash(s string) bool {
	text, ok := strings.CutPrefix(s, hashPrefix)
	sum, err := hex.DecodeString(text)
	return ok && err == nil && len(sum) == sha256.Size && text == strings.ToLower(text)
}
