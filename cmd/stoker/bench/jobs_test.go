package bench

import (
	"bytes"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// TestETTRIsThatOfTheTrainingItStandsFor compares the formula with a job that is killed at random moments.
func TestETTRIsThatOfTheTrainingItStandsFor(t *testing.T) {
	const kill, interval = 10 * time.Minute, 30 * time.Second
	dice := rand.New(rand.NewPCG(1, 2))
	for _, c := range []struct{ restart, save time.Duration }{{0, 0}, {2 * time.Second, 0}, {14 * time.Second, time.Second}, {time.Minute, 5 * time.Second}} {
		useful, total := 0.0, 0.0
		for range 100_000 {
			life := time.Duration((0.5 + dice.Float64()) * float64(kill)) // on average kill
			total += life.Seconds()
			useful += float64((life-c.restart)/(interval+c.save)) * interval.Seconds()
		}
		if want, got := useful/total, ettr(kill, interval, c.restart, c.save); math.Abs(got-want) > 0.002 {
			t.Errorf("restart %v, save %v: %.4f, and %.4f of the time was useful", c.restart, c.save, got, want)
		}
	}
	if got := ettr(kill, interval, kill, 0); got != 0 {
		t.Errorf("a job that never trains has %v", got)
	}
}

// TestTheLastOfTheStartsCounts, and starts that nobody waits for do no harm.
func TestTheLastOfTheStartsCounts(t *testing.T) {
	var s starts
	s.note(time.Now())
	last := s.await(2)
	first, second := time.Now(), time.Now().Add(time.Second)
	s.note(first)
	s.note(second)
	s.note(second.Add(time.Second))
	if at, err := last(t.Context()); err != nil || !at.Equal(second) {
		t.Errorf("%v, %v; want %v", at, err, second)
	}
}

// TestATrainerGoesOnWhereItSaved: what it commits is read back, and the same step is not written twice.
func TestATrainerGoesOnWhereItSaved(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("CHECKPOINT_DIR", dir)
	reports := filepath.Join(dir, "progress")
	before := time.Now()
	f, err := openReports(reports)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for range 2 {
		if err := checkpoint(f, 7); err != nil {
			t.Fatal(err)
		}
	}
	saved := filepath.Join(dir, "step-7")
	s, err := readState(saved)
	if err != nil || s.Step != 7 || s.At.Before(before) || s.At.After(time.Now()) {
		t.Errorf("it goes on from %+v, %v", s, err)
	}
	if took, err := saveTime(saved); err != nil || took > time.Since(before) {
		t.Errorf("saving took %v, %v", took, err)
	}
	text, err := os.ReadFile(reports)
	if n := bytes.Count(text, []byte("committed ")); err != nil || n != 1 {
		t.Errorf("%d reports of one checkpoint, %v", n, err)
	}
}
