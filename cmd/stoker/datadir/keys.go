package datadir

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// keySize is the size of every secret in bytes: 256 bits, what HMAC-SHA256 can use.
const keySize = 32

// hmacFile is the key that signs agents' tokens.
const hmacFile = "hmac.key"

// Keys are the secrets of one platform. They are made once, so that agents which outlived
// a platform are let in again by the next one.
type Keys struct {
	HMAC  []byte // signs agent tokens
	Admin string // the bearer token of CLI and platform
}

// ID tells this data directory from every other, on other machines too; it is no secret.
func (d *Dir) ID() (string, error) {
	id, err := d.secret("id")
	if err != nil {
		return "", err
	}
	return hex.EncodeToString(id[:idSize]), nil
}

// idSize bytes of an ID are as good as unique, and can be read out.
const idSize = 8

// Keys reads the secrets, making them at the first start.
func (d *Dir) Keys() (Keys, error) {
	hmac, err := d.secret(hmacFile)
	if err != nil {
		return Keys{}, err
	}
	admin, err := d.secret("admin.token")
	if err != nil {
		return Keys{}, err
	}
	return Keys{HMAC: hmac, Admin: base64.RawURLEncoding.EncodeToString(admin)}, nil
}

func (d *Dir) secret(name string) ([]byte, error) {
	path := filepath.Join(d.keysDir(), name)
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return newSecret(path)
	}
	if err != nil {
		return nil, notWritable(path, err)
	}
	key, err := base64.RawURLEncoding.DecodeString(strings.TrimSpace(string(text)))
	if err != nil || len(key) != keySize {
		return nil, fmt.Errorf("%w: %s does not hold %d bytes in base64url; delete it and start again, replicas that still run will be replaced",
			ErrDamaged, path, keySize)
	}
	// A copied or restored directory may have lost the mode.
	return key, os.Chmod(path, fileMode)
}

func newSecret(path string) ([]byte, error) {
	key, text := make([]byte, keySize), "-"
	for strings.HasPrefix(text, "-") { // one that began so would be a flag to every command line
		if _, err := rand.Read(key); err != nil {
			return nil, fmt.Errorf("making %s: %w", path, err)
		}
		text = base64.RawURLEncoding.EncodeToString(key)
	}
	return key, writeFile(path, []byte(text+"\n"))
}
