package model

import (
	"math"

	"github.com/gomlx/gomlx/pkg/core/dtypes"
	"github.com/gomlx/gomlx/pkg/core/graph"
	"github.com/gomlx/gomlx/pkg/core/shapes"
	"github.com/gomlx/gomlx/pkg/ml/context"
	"github.com/gomlx/gomlx/pkg/ml/context/initializers"
	"github.com/gomlx/gomlx/pkg/ml/train/losses"
)

// Names of the trained variables.
const (
	varEmbed   = "embed"
	varHidden  = "hidden_weights"
	varHiddenB = "hidden_bias"
	varOut     = "out_weights"
	varOutB    = "out_bias"
)

// scope holds the trained variables, apart from the optimizer's own.
const scope = "tinylm"

// outGain keeps the first guesses near uniform, so that training starts at a loss
// of about ln(vocabulary) instead of unlearning random confidence.
const outGain = 0.1

// forward is the model applied to a batch, with the values its gradient needs.
type forward struct {
	tokens  *graph.Node // [batch, context] int32
	input   *graph.Node // [batch, context·embed]
	preact  *graph.Node // [batch, hidden], before the ReLU
	hidden  *graph.Node // [batch, hidden]
	logits  *graph.Node // [batch, vocab]
	weights map[string]*graph.Node
}

// newForward builds the forward graph for tokens shaped [batch, context].
func newForward(ctx *context.Context, cfg Config, vocabSize int, tokens *graph.Node) forward {
	f := forward{tokens: tokens, weights: map[string]*graph.Node{}}
	inputs := cfg.Context * cfg.Embed
	embed := f.variable(ctx, varEmbed, 1, vocabSize, cfg.Embed)
	f.input = graph.Reshape(graph.Gather(embed, graph.InsertAxes(tokens, -1)), -1, inputs)
	f.preact = f.dense(ctx, f.input, varHidden, varHiddenB, 1, cfg.Hidden)
	f.hidden = graph.MaxScalar(f.preact, 0)
	f.logits = f.dense(ctx, f.hidden, varOut, varOutB, outGain, vocabSize)
	return f
}

// dense is x·weights + bias. gain scales the initial weights.
func (f forward) dense(ctx *context.Context, x *graph.Node, weights, bias string, gain float64, out int) *graph.Node {
	in := x.Shape().Dim(-1)
	w := f.variable(ctx, weights, gain/math.Sqrt(float64(in)), in, out)
	b := f.variable(ctx, bias, 0, out)
	return graph.Add(graph.DotGeneral(x, []int{1}, nil, w, []int{0}, nil), graph.InsertAxes(b, 0))
}

// variable makes or reuses a variable with normal initial values of the given
// standard deviation.
func (f forward) variable(ctx *context.Context, name string, stddev float64, dims ...int) *graph.Node {
	init := initializers.Zero
	if stddev > 0 {
		init = initializers.RandomNormalFn(ctx, stddev)
	}
	v := ctx.In(scope).Checked(false).WithInitializer(init).
		VariableWithShape(name, shapes.Make(dtypes.Float32, dims...))
	f.weights[name] = v.ValueGraph(f.tokens.Graph())
	return f.weights[name]
}

// loss is the mean cross-entropy against labels shaped [batch, 1], in nats per
// character.
func (f forward) loss(labels *graph.Node) *graph.Node {
	loss := losses.SparseCategoricalCrossEntropyLogits([]*graph.Node{labels}, []*graph.Node{f.logits})
	if loss.IsScalar() {
		return loss
	}
	return graph.ReduceAllMean(loss)
}

// gradients gives the gradient of loss for each trained variable, by name.
//
// The matrix products are differentiated here and not by gomlx, because gomlx
// v0.26 writes the gradient of a product as an outer product and a sum. XLA fuses
// the two; the pure-Go backend does not, and a training step takes 20 times as
// long. TestGradientsAgreeWithAutodiff holds the two together.
func (f forward) gradients(cfg Config, loss *graph.Node) map[string]*graph.Node {
	logits := graph.Gradient(loss, f.logits)[0]
	hidden := graph.DotGeneral(logits, []int{1}, nil, f.weights[varOut], []int{1}, nil)
	preact := graph.Where(graph.GreaterThan(f.preact, graph.ZerosLike(f.preact)), hidden, graph.ZerosLike(hidden))
	input := graph.DotGeneral(preact, []int{1}, nil, f.weights[varHidden], []int{1}, nil)
	return map[string]*graph.Node{
		varOut:     graph.DotGeneral(f.hidden, []int{0}, nil, logits, []int{0}, nil),
		varOutB:    graph.ReduceSum(logits, 0),
		varHidden:  graph.DotGeneral(f.input, []int{0}, nil, preact, []int{0}, nil),
		varHiddenB: graph.ReduceSum(preact, 0),
		varEmbed: graph.ScatterSum(graph.ZerosLike(f.weights[varEmbed]), graph.InsertAxes(f.tokens, -1),
			graph.Reshape(input, -1, cfg.Context, cfg.Embed), false, false),
	}
}
