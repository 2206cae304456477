package kubetest

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"stoker.dev/stoker/e2e/kubetest/binary"
)

// ErrMissing is returned by [Launch] when the cluster's programs are not built on this machine.
var ErrMissing = binary.ErrMissing

// verb builds the binary. A skip that names a verb is a failure in a complete run (e2e/testreport).
const verb = "go tool task simcluster"

// Binary returns the path of the cluster's programs. If they are not built, the test is skipped, with the verb that
// builds them as the reason.
func Binary(t testing.TB) string {
	t.Helper()
	path, err := find()
	if errors.Is(err, ErrMissing) {
		t.Skipf("needs the simulated cluster, which %q builds in some minutes, once: %v", verb, ErrMissing)
	}
	if err != nil {
		t.Fatal(err)
	}
	return path
}

func find() (string, error) {
	root, err := repository()
	if err != nil {
		return "", err
	}
	return binary.Find(root)
}

// repository finds the repository's root from the directory of the test.
func repository() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for here := dir; ; here = filepath.Dir(here) {
		if _, err := os.Stat(filepath.Join(here, "e2e/simcluster/go.mod")); err == nil {
			return here, nil
		}
		if here == filepath.Dir(here) {
			return "", fmt.Errorf("%s lies in no checkout of the repository: run the test in its own directory", dir)
		}
	}
}
