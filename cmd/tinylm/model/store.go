package model

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"

	"github.com/gomlx/gomlx/pkg/ml/context"
	"github.com/gomlx/gomlx/pkg/ml/context/checkpoints"
)

const (
	metaFile   = "meta.json"
	metaFormat = "tinylm/v1"
)

// meta is what a checkpoint says about its model, beside the variables.
type meta struct {
	Format     string   `json:"format"`
	Config     Config   `json:"config"`
	Training   Training `json:"training"`
	Step       int      `json:"step"`
	Vocab      string   `json:"vocab"`       // characters of tokens 1, 2, …
	TextSHA256 string   `json:"text_sha256"` // of the training text
}

// Save writes everything needed to go on training into dir: the weights, the
// optimizer's moments, the step and the settings. It does not make the files
// durable; package checkpoint does.
func (t *Trainer) Save(dir string) error {
	m := meta{
		Format: metaFormat, Config: t.cfg, Training: t.training, Step: t.done,
		Vocab: string(t.vocab.runes), TextSHA256: t.digest,
	}
	data, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, metaFile), append(data, '\n'), 0o644); err != nil {
		return err
	}
	return saveVariables(dir, t.vars)
}

func saveVariables(dir string, vars *context.Context) error {
	// A handler attaches itself to the context as a loader; one more per checkpoint would pile up.
	loader := vars.Loader()
	defer vars.SetLoader(loader)
	handler, err := checkpoints.Build(vars).Dir(dir).ExcludeAllParams().WithCompression(checkpoints.BinUncompressed).Done()
	if err != nil {
		return fmt.Errorf("save variables: %w", err)
	}
	if err := handler.Save(); err != nil {
		return fmt.Errorf("save variables: %w", err)
	}
	return nil
}

func loadVariables(dir string) (*context.Context, error) {
	vars := context.New()
	// Immediate: a variable that no graph has asked for yet must still be in the next checkpoint.
	if _, err := checkpoints.Load(vars).Dir(dir).ExcludeAllParams().Immediate().Done(); err != nil {
		return nil, fmt.Errorf("load variables from %s: %w", dir, err)
	}
	vars.SetLoader(nil)
	return vars, nil
}

func readMeta(dir string) (meta, error) {
	data, err := os.ReadFile(filepath.Join(dir, metaFile))
	if err != nil {
		return meta{}, fmt.Errorf("%w: %w", ErrFormat, err)
	}
	var m meta
	if err := json.Unmarshal(data, &m); err != nil {
		return meta{}, fmt.Errorf("%s: %w: %w", filepath.Join(dir, metaFile), ErrFormat, err)
	}
	if m.Format != metaFormat {
		return meta{}, fmt.Errorf("%s: %w: format is %q, this build reads %q", dir, ErrFormat, m.Format, metaFormat)
	}
	return m, m.Config.Validate()
}
