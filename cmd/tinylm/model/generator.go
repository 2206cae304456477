package model

import (
	"context"
	"fmt"

	"github.com/gomlx/gomlx/backends/simplego"
	"github.com/gomlx/gomlx/pkg/core/graph"
	"github.com/gomlx/gomlx/pkg/core/tensors"
	mlctx "github.com/gomlx/gomlx/pkg/ml/context"
)

// Finish says why generation ended.
type Finish string

// The reasons, named as in OpenAI's API.
const (
	FinishStop   Finish = "stop"   // the model ended the document, or a stop sequence came
	FinishLength Finish = "length" // MaxTokens was reached
)

// Request is one generation.
type Request struct {
	Prompt    string
	MaxTokens int
	Stop      []string // text that ends the generation; it is not part of the answer
	Sampling  Sampling
}

// Usage counts the tokens of one generation. A token is a character.
type Usage struct {
	Prompt     int
	Completion int // without the closing End
}

// Generator answers prompts from one set of weights. It is safe for concurrent use.
type Generator struct {
	cfg   Config
	vocab vocab
	step  int
	exec  *mlctx.Exec
}

// LoadGenerator reads the model in a committed checkpoint's directory and runs
// it once, so that the first request finds everything compiled.
func LoadGenerator(dir string) (*Generator, error) {
	m, err := readMeta(dir)
	if err != nil {
		return nil, err
	}
	v, err := vocabOf([]rune(m.Vocab))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", dir, err)
	}
	vars, err := loadVariables(dir)
	if err != nil {
		return nil, err
	}
	g, err := newGenerator(m.Config, v, vars)
	if err != nil {
		return nil, fmt.Errorf("load %s: %w", dir, err)
	}
	g.step = m.Step
	return g, nil
}

func newGenerator(cfg Config, v vocab, vars *mlctx.Context) (*Generator, error) {
	backend, err := simplego.New(generateBackend)
	if err != nil {
		return nil, fmt.Errorf("start the pure-Go backend: %w", err)
	}
	exec, err := mlctx.NewExec(backend, vars.Reuse(), func(ctx *mlctx.Context, tokens *graph.Node) *graph.Node {
		return newForward(ctx, cfg, v.size(), tokens).logits
	})
	if err != nil {
		return nil, fmt.Errorf("compile the model: %w", err)
	}
	g := &Generator{cfg: cfg, vocab: v, exec: exec}
	_, err = g.logits(make([]int32, cfg.Context))
	return g, err
}

// Step is the number of training steps behind the weights.
func (g *Generator) Step() int { return g.step }

// Generate calls emit with each piece of the answer as soon as it is certain, and
// returns when the answer is complete, ctx is done or emit fails.
func (g *Generator) Generate(ctx context.Context, req Request, emit func(text string) error) (Finish, Usage, error) {
	prompt := g.vocab.encode(req.Prompt)
	usage := Usage{Prompt: len(prompt)}
	window := append(make([]int32, g.cfg.Context), prompt...)
	out := stopper{stops: req.Stop, emit: emit}
	pick := req.Sampling.picker()
	for usage.Completion < req.MaxTokens {
		if err := ctx.Err(); err != nil {
			return "", usage, err
		}
		window = window[len(window)-g.cfg.Context:]
		logits, err := g.logits(window)
		if err != nil {
			return "", usage, err
		}
		token := pick(logits)
		if token == End {
			return FinishStop, usage, out.flush()
		}
		usage.Completion++
		window = append(window, token)
		if stopped, err := out.add(g.vocab.char(token)); stopped || err != nil {
			return FinishStop, usage, err
		}
	}
	return FinishLength, usage, out.flush()
}

// logits runs the model on exactly Context tokens.
func (g *Generator) logits(window []int32) ([]float32, error) {
	in := tensors.FromFlatDataAndDimensions(window, 1, g.cfg.Context)
	defer in.MustFinalizeAll()
	out, err := g.exec.Exec(in)
	if err != nil {
		return nil, fmt.Errorf("run the model: %w", err)
	}
	defer out[0].MustFinalizeAll()
	return tensors.CopyFlatData[float32](out[0])
}
