package local

import (
	"fmt"
	"os"
	"path/filepath"

	"stoker.dev/stoker/activities"
	"stoker.dev/stoker/events"
	"stoker.dev/stoker/functions"
	"stoker.dev/stoker/scale/job/contract"
)

// rankDir is where in its replica's directory a rank and its agent find each other's files.
const rankDir = "rank"

// placed is a place in a gang with the rank's own directory; nil for a function's replica.
func placed(p *contract.Place, dir string) *contract.Place {
	if p == nil {
		return nil
	}
	own := *p
	own.Dir = filepath.Join(dir, rankDir)
	return &own
}

// shown is a place as it may be stored where others read.
func shown(p *contract.Place) *contract.Place {
	if p == nil {
		return nil
	}
	public := *p
	public.Spec = functions.RedactJob(p.Spec)
	return &public
}

// rankEnv is what tells a rank its place; nothing for a function's replica.
func rankEnv(spec activities.ReplicaSpec) ([]string, error) {
	if spec.Gang == nil {
		return nil, nil
	}
	vars, err := contract.Environment(*spec.Gang)
	if err != nil {
		return nil, fmt.Errorf("%w: replica %s of %s: %w", activities.ErrBadSpec, spec.ID, spec.Key, err)
	}
	var env []string
	for _, v := range vars {
		env = append(env, v.Name+"="+v.Value)
	}
	return env, nil
}

// rankConfig is what makes an agent run a rank; nil for a function's replica.
func rankConfig(p *contract.Place) *events.RankConfig {
	if p == nil {
		return nil
	}
	return &events.RankConfig{
		Generation: p.Generation, Rank: p.Rank,
		NoticeFile: filepath.Join(p.Dir, contract.NoticeFile), SaveFile: filepath.Join(p.Dir, contract.SaveFile),
		ProgressFile: filepath.Join(p.Dir, contract.ProgressFile), ErrorFile: filepath.Join(p.Dir, contract.ErrorFile),
	}
}

// writeRank makes a rank's own directory, and in it what its program reads from the beginning.
func writeRank(p *contract.Place) error {
	if p == nil {
		return nil
	}
	if err := os.MkdirAll(p.Dir, dirMode); err != nil {
		return explain(p.Dir, err)
	}
	if p.Spec.Framework != functions.FrameworkMPI {
		return nil
	}
	hosts, err := contract.Hostfile(*p)
	if err != nil {
		return err
	}
	return writeFile(filepath.Join(p.Dir, contract.HostFile), []byte(hosts))
}
