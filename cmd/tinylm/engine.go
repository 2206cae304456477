package main

import (
	"context"
	"time"

	"stoker.dev/stoker/cmd/tinylm/model"
	"stoker.dev/stoker/cmd/tinylm/openai"
)

var _ openai.Engine = engine{}

// engine puts a generator behind the API.
type engine struct {
	generator *model.Generator
	pace      float64 // tokens per second of one answer; 0 for no limit
}

// Generate implements openai.Engine.
func (e engine) Generate(ctx context.Context, req openai.Generation, emit func(string) error) (openai.Result, error) {
	if e.pace > 0 {
		ticker := time.NewTicker(time.Duration(float64(time.Second) / e.pace))
		defer ticker.Stop()
		emit = paced(ctx, ticker.C, emit)
	}
	finish, usage, err := e.generator.Generate(ctx, model.Request{
		Prompt: req.Prompt, MaxTokens: req.MaxTokens, Stop: req.Stop,
		Sampling: model.Sampling{Temperature: req.Temperature, TopP: req.TopP, TopK: req.TopK, Seed: req.Seed},
	}, emit)
	return openai.Result{Finish: string(finish), PromptTokens: usage.Prompt, CompletionTokens: usage.Completion}, err
}

// paced waits for a tick before each piece of text.
func paced(ctx context.Context, ticks <-chan time.Time, emit func(string) error) func(string) error {
	return func(text string) error {
		select {
		case <-ticks:
			return emit(text)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
