package model

import (
	"fmt"
	"math/rand/v2"

	"github.com/gomlx/gomlx/backends"
	"github.com/gomlx/gomlx/backends/simplego"
	"github.com/gomlx/gomlx/pkg/core/dtypes"
	"github.com/gomlx/gomlx/pkg/core/graph"
	"github.com/gomlx/gomlx/pkg/core/tensors"
	"github.com/gomlx/gomlx/pkg/ml/context"
	"github.com/gomlx/gomlx/pkg/ml/train/optimizers"

	"stoker.dev/stoker/cmd/tinylm/corpus"
)

// Settings of gomlx's pure-Go backend. Operations run one after the other, because
// running them side by side is a data race in v0.26 (the race detector finds it)
// and gains little at this size; the matrix product still uses every core. Its
// blocked form measured 25 % faster in training than what the backend chooses.
const (
	trainBackend    = "ops_sequential,dotgeneral_large"
	generateBackend = "ops_sequential"
)

// Trainer trains one model, step by step. It is not safe for concurrent use.
type Trainer struct {
	cfg      Config
	training Training
	vocab    vocab
	data     dataset
	digest   string // of the training text

	vars *context.Context
	exec *context.Exec
	done int // steps done
}

// NewTrainer starts a new model on docs.
func NewTrainer(cfg Config, training Training, docs []string) (*Trainer, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if err := training.Validate(); err != nil {
		return nil, err
	}
	v, err := newVocab(docs)
	if err != nil {
		return nil, err
	}
	vars := context.New()
	if err := vars.SetRNGStateFromSeed(training.Seed); err != nil {
		return nil, fmt.Errorf("seed the initial weights: %w", err)
	}
	t := &Trainer{cfg: cfg, training: training, vocab: v, digest: corpus.Digest(docs), vars: vars}
	return t, t.build(docs)
}

// ResumeTrainer continues the training in a committed checkpoint's directory, on
// the same docs. steps above zero replaces the length of the training.
func ResumeTrainer(dir string, steps int, docs []string) (*Trainer, error) {
	m, err := readMeta(dir)
	if err != nil {
		return nil, err
	}
	if steps > 0 {
		m.Training.Steps = steps
	}
	if err := m.Training.Validate(); err != nil {
		return nil, err
	}
	if got := corpus.Digest(docs); got != m.TextSHA256 {
		return nil, fmt.Errorf("%w: %s was trained on text %.12s, this is %.12s", ErrCorpus, dir, m.TextSHA256, got)
	}
	vars, err := loadVariables(dir)
	if err != nil {
		return nil, err
	}
	v, err := vocabOf([]rune(m.Vocab))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", dir, err)
	}
	t := &Trainer{cfg: m.Config, training: m.Training, vocab: v, digest: m.TextSHA256, vars: vars, done: m.Step}
	return t, t.build(docs)
}

// build prepares the data and compiles the step.
func (t *Trainer) build(docs []string) error {
	t.data = newDataset(t.cfg, t.vocab, docs)
	backend, err := simplego.New(trainBackend)
	if err != nil {
		return fmt.Errorf("start the pure-Go backend: %w", err)
	}
	t.exec, err = newStepExec(backend, t.vars, t.cfg, t.vocab.size())
	if err != nil {
		return fmt.Errorf("compile the training step: %w", err)
	}
	return nil
}

// gradientOptimizer is the part of gomlx's Adam that takes gradients from outside.
type gradientOptimizer interface {
	UpdateGraphWithGradients(ctx *context.Context, grads []*graph.Node, lossDType dtypes.DType)
}

func newStepExec(backend backends.Backend, vars *context.Context, cfg Config, vocabSize int) (*context.Exec, error) {
	adam, ok := optimizers.Adam().Done().(gradientOptimizer)
	if !ok {
		return nil, fmt.Errorf("gomlx's Adam takes no gradients: is it newer than v0.26?")
	}
	return context.NewExec(backend, vars, func(ctx *context.Context, tokens, labels *graph.Node) *graph.Node {
		f := newForward(ctx, cfg, vocabSize, tokens)
		loss := f.loss(labels)
		adam.UpdateGraphWithGradients(ctx, inVariableOrder(ctx, f.gradients(cfg, loss)), dtypes.Float32)
		return loss
	})
}

// inVariableOrder sorts gradients the way gomlx's optimizers expect them, and
// marks as trainable what has a gradient and nothing else: variables read from a
// checkpoint come back all trainable, the optimizer's own among them.
func inVariableOrder(ctx *context.Context, byName map[string]*graph.Node) []*graph.Node {
	inScope := ctx.In(scope).Scope()
	var grads []*graph.Node
	for v := range ctx.IterVariables() {
		grad, ok := byName[v.Name()]
		trained := ok && v.Scope() == inScope
		v.SetTrainable(trained)
		if trained {
			grads = append(grads, grad)
		}
	}
	return grads
}

// Step trains on the next batch and returns its loss, in nats per character,
// as it was before the weights changed.
func (t *Trainer) Step() (float64, error) {
	rate := float32(t.training.rate(t.done))
	lr := optimizers.LearningRateVar(t.vars, dtypes.Float32, float64(rate))
	if err := lr.SetValue(tensors.FromScalar(rate)); err != nil {
		return 0, fmt.Errorf("set the learning rate: %w", err)
	}
	tokens, labels := t.data.batch(t.training, t.done)
	out, err := t.exec.Exec(tokens, labels)
	if err != nil {
		return 0, fmt.Errorf("training step %d: %w", t.done+1, err)
	}
	t.done++
	return float64(tensors.ToScalar[float32](out[0])), nil
}

// Done is the number of steps trained so far, over all runs.
func (t *Trainer) Done() int { return t.done }

// Training is how the model is trained.
func (t *Trainer) Training() Training { return t.training }

// Config is the shape of the model.
func (t *Trainer) Config() Config { return t.cfg }

// VocabSize counts the different tokens. A model that knows nothing has a loss of
// its natural logarithm.
func (t *Trainer) VocabSize() int { return t.vocab.size() }

// dataset holds every training example as a position in one long token list.
type dataset struct {
	context int
	tokens  []int32 // each document after a full context of End, and closed by End
	targets []int   // positions in tokens that are to be predicted
}

func newDataset(cfg Config, v vocab, docs []string) dataset {
	d := dataset{context: cfg.Context}
	for _, doc := range docs {
		d.tokens = append(d.tokens, make([]int32, cfg.Context)...)
		for _, token := range append(v.encode(doc), End) {
			d.targets = append(d.targets, len(d.tokens))
			d.tokens = append(d.tokens, token)
		}
	}
	return d
}

// batch draws the examples of one step. They depend on the seed and the step only.
func (d dataset) batch(t Training, step int) (tokens, labels *tensors.Tensor) {
	rng := rand.New(rand.NewPCG(uint64(t.Seed), uint64(step)))
	xs := make([]int32, 0, t.Batch*d.context)
	ys := make([]int32, t.Batch)
	for i := range ys {
		at := d.targets[rng.IntN(len(d.targets))]
		xs = append(xs, d.tokens[at-d.context:at]...)
		ys[i] = d.tokens[at]
	}
	return tensors.FromFlatDataAndDimensions(xs, t.Batch, d.context),
		tensors.FromFlatDataAndDimensions(ys, t.Batch, 1)
}
