package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"

	"stoker.dev/stoker/events"
	"stoker.dev/stoker/functions"
)

// configVar names the file with the agent's configuration.
const configVar = "STOKER_AGENT_CONFIG"

// errConfig is returned when the configuration is missing or wrong.
var errConfig = errors.New("agent configuration")

// takeConfig reads the configuration and removes its path from the environment.
func takeConfig() (events.AgentConfig, error) {
	path := os.Getenv(configVar)
	os.Unsetenv(configVar)
	if path == "" {
		return events.AgentConfig{}, fmt.Errorf("%w: %s is not set; agents are started by stoker, not by hand", errConfig, configVar)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return events.AgentConfig{}, fmt.Errorf("%w: %w", errConfig, err)
	}
	c, err := parseConfig(data, os.Getenv)
	if err != nil {
		return events.AgentConfig{}, fmt.Errorf("%w: %s: %w", errConfig, path, err)
	}
	return c, nil
}

// parseConfig reads a configuration, completes its spec with the manifest's defaults, and takes
// from the environment what may come from there.
func parseConfig(data []byte, env func(string) string) (events.AgentConfig, error) {
	var c events.AgentConfig
	if err := json.Unmarshal(data, &c); err != nil {
		return c, err
	}
	if c.Attach {
		if err := attachEnv(&c, env); err != nil {
			return c, err
		}
	}
	if missing := missingIn(c); len(missing) > 0 {
		return c, fmt.Errorf("missing: %s", strings.Join(missing, ", "))
	}
	if c.Port < 0 || c.Port > maxPort {
		return c, fmt.Errorf("port is %d, allowed: 0 (a free one) to %d", c.Port, maxPort)
	}
	if c.Attach && len(c.Command) > 0 {
		return c, errors.New("command is given, allowed: none with attach, which starts no model server; leave out one of them")
	}
	if c.Attach && c.Rank != nil {
		return c, errors.New("attach and rank are given, allowed: one of them; an agent starts the program of a rank itself")
	}
	c.Spec = functions.Default(functions.Function{Spec: c.Spec}).Spec
	return c, nil
}

// missingIn names what a configuration lacks.
func missingIn(c events.AgentConfig) []string {
	var missing []string
	for _, f := range []struct {
		name string
		ok   bool
	}{
		{"key", c.Key.Namespace != "" && c.Key.Name != ""},
		{"replica", c.Replica != ""},
		{"command", len(c.Command) > 0 || c.Attach},
		{"port (or " + events.ServerPortVar + ")", c.Port != 0 || !c.Attach},
		{"stream", c.Stream != "" || c.Rank != nil},
		{"rank.generation", c.Rank == nil || c.Rank.Generation > 0},
		{"rank.noticeFile", c.Rank == nil || c.Rank.NoticeFile != ""},
		{"rank.saveFile", c.Rank == nil || c.Rank.SaveFile != ""},
		{"rank.progressFile", c.Rank == nil || c.Rank.ProgressFile != ""},
		{"rank.errorFile", c.Rank == nil || c.Rank.ErrorFile != ""},
		{"nats.url", c.NATS.URL != ""},
	} {
		if !f.ok {
			missing = append(missing, f.name)
		}
	}
	return missing
}

// maxPort is the highest there is.
const maxPort = 65535

// attachEnv overrides what only the Pod of an agent that attaches may know.
func attachEnv(c *events.AgentConfig, env func(string) string) error {
	if text := env(events.ServerPortVar); text != "" {
		port, ok := portNumber(text)
		if !ok {
			return fmt.Errorf("%s is %q, allowed: 1 to %d, where the model server listens", events.ServerPortVar, text, maxPort)
		}
		c.Port = port
	}
	if text := env(events.AgentListenVar); text != "" {
		_, port, err := net.SplitHostPort(text)
		if _, ok := portNumber(port); err != nil || !ok {
			return fmt.Errorf("%s is %q, allowed: an address such as :%d", events.AgentListenVar, text, events.AgentPort)
		}
		c.Listen = text
	}
	return nil
}

func portNumber(text string) (int, bool) {
	port, err := strconv.Atoi(text)
	return port, err == nil && port >= 1 && port <= maxPort
}
