package verify_test

import (
	"testing"

	"stoker.dev/stoker/cmd/stoker/embedded/natsd/verify"
)

// BenchmarkCheck is what looking at every record costs a start.
func BenchmarkCheck(b *testing.B) {
	original.Do(func() { original.store = write(b) })
	r, err := verify.Check(original.dir, verify.Last{})
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(r.Bytes)
	for b.Loop() {
		if _, err := verify.Check(original.dir, verify.Last{Clean: true}); err != nil {
			b.Fatal(err)
		}
	}
}
