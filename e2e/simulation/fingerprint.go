package main

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"go/scanner"
	"go/token"
	"hash"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// decisive is what the figures follow from, beside the traces: the policy, the simulator, what reads traces and
// profiles, the profiles themselves, and this program.
var decisive = []string{"scale", "cmd/stoker/simulate", "deploy/profiles", "e2e/simulation", "functions/duration.go", "functions/function.go"}

// fingerprint is a hash of the decisive files: of Go their tokens, so that a comment or a line break changes nothing,
// of profiles their bytes. Tests, and what only draws, do not count.
func fingerprint(root string) (string, error) {
	sum := sha256.New()
	for _, place := range decisive {
		err := filepath.WalkDir(filepath.Join(root, place), func(path string, d fs.DirEntry, err error) error {
			switch {
			case err != nil:
				return err
			case d.IsDir() && endsIn(path, "cmd/stoker/simulate/page", "testdata", "scale/cost", "scale/job", "scale/jobs", "scale/price", "scale/plan"):
				return fs.SkipDir
			case d.IsDir() || strings.HasSuffix(path, "_test.go"):
				return nil
			case strings.HasSuffix(path, ".go"), strings.HasSuffix(path, ".yaml"):
				return add(sum, path)
			}
			return nil
		})
		if err != nil {
			return "", err
		}
	}
	return hex.EncodeToString(sum.Sum(nil))[:16], nil
}

// endsIn tells whether a path ends in one of the endings.
func endsIn(path string, endings ...string) bool {
	for _, e := range endings {
		if strings.HasSuffix(filepath.ToSlash(path), e) {
			return true
		}
	}
	return false
}

func add(sum hash.Hash, path string) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if !strings.HasSuffix(path, ".go") {
		_, err := sum.Write(text)
		return err
	}
	var s scanner.Scanner
	var faults error
	file := token.NewFileSet().AddFile(path, -1, len(text))
	s.Init(file, text, func(pos token.Position, msg string) {
		faults = errors.Join(faults, fmt.Errorf("%v: %s", pos, msg))
	}, 0)
	for {
		_, tok, literal := s.Scan()
		if tok == token.EOF {
			return faults
		}
		if _, err := io.WriteString(sum, tok.String()+literal+"\n"); err != nil {
			return err
		}
	}
}
