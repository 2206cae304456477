package main

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"stoker.dev/stoker/cmd/tinylm/checkpoint"
	"stoker.dev/stoker/cmd/tinylm/model"
)

func sampleCommand() *cobra.Command {
	var dir string
	req := model.Request{MaxTokens: 400}
	cmd := &cobra.Command{
		Use:   "sample --checkpoint DIR",
		Short: "Print the model's continuation of a prompt",
		Args:  noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if dir == "" {
				return usagef("--checkpoint is missing")
			}
			c, err := checkpoint.Open(dir)
			if err != nil {
				return fmt.Errorf("--checkpoint: %w", err)
			}
			generator, err := model.LoadGenerator(c.Dir)
			if err != nil {
				return err
			}
			out := cmd.OutOrStdout()
			fmt.Fprint(out, req.Prompt)
			_, _, err = generator.Generate(cmd.Context(), req, func(text string) error {
				_, err := io.WriteString(out, text)
				return err
			})
			fmt.Fprintln(out)
			return err
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&dir, "checkpoint", "", "checkpoint, or directory with checkpoints to take the newest of")
	flags.StringVar(&req.Prompt, "prompt", "", "text to continue")
	flags.IntVar(&req.MaxTokens, "max-tokens", req.MaxTokens, "most characters to print")
	flags.Float64Var(&req.Sampling.Temperature, "temperature", 0, "0 takes the likeliest character")
	flags.Uint64Var(&req.Sampling.Seed, "seed", 1, "seed of the choice")
	return cmd
}
