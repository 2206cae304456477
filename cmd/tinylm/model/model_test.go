package model

import (
	"context"
	"errors"
	"math"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/gomlx/gomlx/backends/simplego"
	"github.com/gomlx/gomlx/pkg/core/graph"
	"github.com/gomlx/gomlx/pkg/core/tensors"
	mlctx "github.com/gomlx/gomlx/pkg/ml/context"
)

// tiny is small enough for the race detector.
var tiny = Config{Context: 8, Embed: 4, Hidden: 16}

var tinyDocs = []string{"the fire is lit", "the fire is out", "the bell rings"}

func tinyTraining(steps int) Training {
	return Training{Steps: steps, Batch: 16, LearningRate: 0.01, Seed: 7}
}

func newTiny(t *testing.T, steps int) *Trainer {
	t.Helper()
	trainer, err := NewTrainer(tiny, tinyTraining(steps), tinyDocs)
	if err != nil {
		t.Fatal(err)
	}
	return trainer
}

// curve trains n steps and returns their losses.
func curve(t *testing.T, trainer *Trainer, n int) []float64 {
	t.Helper()
	out := make([]float64, n)
	for i := range out {
		loss, err := trainer.Step()
		if err != nil {
			t.Fatal(err)
		}
		out[i] = loss
	}
	return out
}

func TestLossFalls(t *testing.T) {
	trainer := newTiny(t, 200)
	losses := curve(t, trainer, 200)
	first, last := losses[0], losses[199]
	if uniform := math.Log(float64(trainer.VocabSize())); math.Abs(first-uniform) > 0.3 {
		t.Errorf("first loss %.3f, want about ln(%d) = %.3f", first, trainer.VocabSize(), uniform)
	}
	if last > 0.7 {
		t.Errorf("last loss %.3f, want below 0.7 (first was %.3f)", last, first)
	}
}

func TestResumeRepeatsTheCurve(t *testing.T) {
	const before, after = 12, 8
	want := curve(t, newTiny(t, before+after), before+after)

	stopped := newTiny(t, before+after)
	curve(t, stopped, before)
	dir := t.TempDir()
	if err := stopped.Save(dir); err != nil {
		t.Fatal(err)
	}
	resumed, err := ResumeTrainer(dir, 0, tinyDocs)
	if err != nil {
		t.Fatal(err)
	}
	if resumed.Done() != before {
		t.Fatalf("resumed at step %d, want %d", resumed.Done(), before)
	}
	got := curve(t, resumed, after)
	for i := range got {
		if got[i] != want[before+i] {
			t.Errorf("loss of step %d is %v after a resume, %v without one", before+i+1, got[i], want[before+i])
		}
	}
}

// A trainer that is told to stop before its first step must not lose the weights.
func TestSaveStraightAfterResumeKeepsEverything(t *testing.T) {
	trainer := newTiny(t, 20)
	curve(t, trainer, 5)
	first, second := t.TempDir(), t.TempDir()
	if err := trainer.Save(first); err != nil {
		t.Fatal(err)
	}
	again, err := ResumeTrainer(first, 0, tinyDocs)
	if err != nil {
		t.Fatal(err)
	}
	if err := again.Save(second); err != nil {
		t.Fatal(err)
	}
	third, err := ResumeTrainer(second, 0, tinyDocs)
	if err != nil {
		t.Fatal(err)
	}
	if want, got := curve(t, trainer, 1)[0], curve(t, third, 1)[0]; got != want {
		t.Errorf("loss after two saves is %v, want %v", got, want)
	}
}

func TestGradientsAgreeWithAutodiff(t *testing.T) {
	backend, err := simplego.New(generateBackend)
	if err != nil {
		t.Fatal(err)
	}
	vars := mlctx.New()
	if err := vars.SetRNGStateFromSeed(3); err != nil {
		t.Fatal(err)
	}
	const vocabSize = 6
	names := []string{varEmbed, varHidden, varHiddenB, varOut, varOutB}
	exec, err := mlctx.NewExec(backend, vars, func(ctx *mlctx.Context, tokens, labels *graph.Node) []*graph.Node {
		f := newForward(ctx, tiny, vocabSize, tokens)
		loss := f.loss(labels)
		var ours, theirs []*graph.Node
		for _, name := range names {
			ours = append(ours, f.gradients(tiny, loss)[name])
			theirs = append(theirs, graph.Gradient(loss, f.weights[name])[0])
		}
		return append(ours, theirs...)
	})
	if err != nil {
		t.Fatal(err)
	}
	tokens := []int32{0, 0, 1, 2, 3, 4, 5, 1, 1, 1, 2, 2, 3, 3, 4, 4}
	out, err := exec.Exec(tensors.FromFlatDataAndDimensions(tokens, 2, tiny.Context),
		tensors.FromFlatDataAndDimensions([]int32{2, 5}, 2, 1))
	if err != nil {
		t.Fatal(err)
	}
	for i, name := range names {
		ours, theirs := out[i], out[len(names)+i]
		if !ours.InDelta(theirs, 1e-6) {
			t.Errorf("gradient of %s: ours %v, autodiff %v", name, ours, theirs)
		}
		if ours.InDelta(tensors.FromShape(ours.Shape()), 1e-9) {
			t.Errorf("gradient of %s is zero: the test would pass on anything", name)
		}
	}
}

func TestResumeRefuses(t *testing.T) {
	dir := t.TempDir()
	trainer := newTiny(t, 2)
	curve(t, trainer, 1)
	if err := trainer.Save(dir); err != nil {
		t.Fatal(err)
	}
	if _, err := ResumeTrainer(dir, 0, []string{"another text"}); !errors.Is(err, ErrCorpus) {
		t.Errorf("other text: %v, want ErrCorpus", err)
	}
	if _, err := ResumeTrainer(dir, MaxSteps+1, tinyDocs); !errors.Is(err, ErrConfig) {
		t.Errorf("too many steps: %v, want ErrConfig", err)
	}
	if _, err := ResumeTrainer(t.TempDir(), 0, tinyDocs); !errors.Is(err, ErrFormat) {
		t.Errorf("empty directory: %v, want ErrFormat", err)
	}
	meta := filepath.Join(dir, metaFile)
	if err := os.WriteFile(meta, []byte(`{"format":"other"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := LoadGenerator(dir); !errors.Is(err, ErrFormat) {
		t.Errorf("other format: %v, want ErrFormat", err)
	}
}

func TestValidateNamesEverySetting(t *testing.T) {
	err := errors.Join(Config{}.Validate(), Training{LearningRate: math.NaN()}.Validate())
	for _, name := range []string{"context", "embed", "hidden", "steps", "batch", "learning-rate"} {
		if !strings.Contains(err.Error(), name) {
			t.Errorf("%q is not named in: %v", name, err)
		}
	}
	if err := errors.Join(DefaultConfig.Validate(), DefaultTraining.Validate()); err != nil {
		t.Errorf("the defaults are refused: %v", err)
	}
}

// trained is a generator that knows tinyDocs by heart.
var trained = sync.OnceValues(func() (*Generator, error) {
	trainer, err := NewTrainer(tiny, tinyTraining(300), tinyDocs)
	if err != nil {
		return nil, err
	}
	for range 300 {
		if _, err := trainer.Step(); err != nil {
			return nil, err
		}
	}
	dir, err := os.MkdirTemp("", "tinylm")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	if err := trainer.Save(dir); err != nil {
		return nil, err
	}
	return LoadGenerator(dir)
})

func generate(t *testing.T, req Request) (string, Finish, Usage) {
	t.Helper()
	g, err := trained()
	if err != nil {
		t.Fatal(err)
	}
	var text strings.Builder
	finish, usage, err := g.Generate(t.Context(), req, func(s string) error {
		text.WriteString(s)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return text.String(), finish, usage
}

func TestGenerate(t *testing.T) {
	for name, c := range map[string]struct {
		req    Request
		text   string
		finish Finish
		usage  Usage
	}{
		"to the end":    {Request{Prompt: "the b", MaxTokens: 99}, "ell rings", FinishStop, Usage{5, 9}},
		"to the limit":  {Request{Prompt: "the b", MaxTokens: 3}, "ell", FinishLength, Usage{5, 3}},
		"to a stop":     {Request{Prompt: "the b", MaxTokens: 99, Stop: []string{"zz", "ring"}}, "ell ", FinishStop, Usage{5, 8}},
		"part of stop":  {Request{Prompt: "the b", MaxTokens: 5, Stop: []string{" ringing"}}, "ell r", FinishLength, Usage{5, 5}},
		"nothing asked": {Request{Prompt: "", MaxTokens: 0}, "", FinishLength, Usage{0, 0}},
	} {
		t.Run(name, func(t *testing.T) {
			text, finish, usage := generate(t, c.req)
			if text != c.text || finish != c.finish || usage != c.usage {
				t.Errorf("got %q, %s, %+v; want %q, %s, %+v", text, finish, usage, c.text, c.finish, c.usage)
			}
		})
	}
}

func TestTheSeedDecides(t *testing.T) {
	req := Request{Prompt: "the fire is ", MaxTokens: 20, Sampling: Sampling{Temperature: 2, Seed: 1}}
	same, _, _ := generate(t, req)
	if again, _, _ := generate(t, req); again != same {
		t.Errorf("the same seed gave %q and %q", same, again)
	}
	for seed := range uint64(20) {
		req.Sampling.Seed = seed
		if other, _, _ := generate(t, req); other != same {
			return
		}
	}
	t.Errorf("20 seeds at temperature 2 all gave %q", same)
}

func TestGenerateConcurrently(t *testing.T) {
	want, _, _ := generate(t, Request{Prompt: "the b", MaxTokens: 50})
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if got, _, _ := generate(t, Request{Prompt: "the b", MaxTokens: 50}); got != want {
				t.Errorf("got %q, alone it was %q", got, want)
			}
		})
	}
	wg.Wait()
}

func TestGenerateStopsWithItsContext(t *testing.T) {
	g, err := trained()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	_, usage, err := g.Generate(ctx, Request{Prompt: "the ", MaxTokens: 1000}, func(string) error {
		cancel()
		return nil
	})
	if !errors.Is(err, context.Canceled) || usage.Completion != 1 {
		t.Errorf("got %v after %d tokens, want context.Canceled after 1", err, usage.Completion)
	}
}

func TestSamplingCuts(t *testing.T) {
	logits := []float32{0, 3, 1, 2} // likeliest first: 1 3 2 0
	for name, c := range map[string]struct {
		s    Sampling
		want int
	}{
		"all":               {Sampling{}, 4},
		"top k":             {Sampling{TopK: 2}, 2},
		"top k above all":   {Sampling{TopK: 9}, 4},
		"top p":             {Sampling{TopP: 0.7}, 2},
		"top p takes one":   {Sampling{TopP: 0.0001}, 1},
		"top p of one":      {Sampling{TopP: 1}, 4},
		"both, k is harder": {Sampling{TopK: 1, TopP: 0.99}, 1},
	} {
		got := c.s.cut(probabilities(logits, 1))
		if len(got) != c.want || got[0].token != 1 {
			t.Errorf("%s: kept %+v, want %d with token 1 first", name, got, c.want)
		}
	}
	if got := draw(probabilities(logits, 1), 0.999999999); got != 0 {
		t.Errorf("the last share drew token %d, want the unlikeliest, 0", got)
	}
}

func BenchmarkGenerate(b *testing.B) {
	dir := b.TempDir()
	trainer, err := NewTrainer(DefaultConfig, DefaultTraining, []string{"abcdefghijklmnopqrstuvwxyz ABCDEFGHIKLNOPRSTUWY,-.:?\n"})
	if err != nil {
		b.Fatal(err)
	}
	if _, err := trainer.Step(); err != nil { // makes the variables
		b.Fatal(err)
	}
	if err := trainer.Save(dir); err != nil {
		b.Fatal(err)
	}
	g, err := LoadGenerator(dir)
	if err != nil {
		b.Fatal(err)
	}
	window := make([]int32, DefaultConfig.Context)
	for b.Loop() {
		if _, err := g.logits(window); err != nil {
			b.Fatal(err)
		}
	}
}
