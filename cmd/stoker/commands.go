package main

import (
	"github.com/spf13/cobra"
)

// Groups of commands in the help.
const (
	groupPlatform = "platform"
	groupDeploy   = "functions"
	groupRequests = "requests"
	groupTraining = "training"
	groupMore     = "more"
)

// commands are all verbs, grouped as the help shows them.
func (a *app) commands() []*cobra.Command {
	return []*cobra.Command{
		in(groupPlatform, a.upCommand()), in(groupPlatform, a.demoCommand()), in(groupPlatform, a.statusCommand()),
		in(groupPlatform, a.costCommand()), in(groupPlatform, a.configCommand()), in(groupPlatform, a.userCommand()), in(groupPlatform, a.uiCommand()),
		in(groupPlatform, a.backupCommand()), in(groupPlatform, a.restoreCommand()),
		in(groupDeploy, a.applyCommand()), in(groupDeploy, a.getCommand()), in(groupDeploy, a.describeCommand()),
		in(groupDeploy, a.explainCommand()), in(groupDeploy, a.decideCommand()), in(groupDeploy, a.scaleCommand()), in(groupDeploy, a.pauseCommand(true)),
		in(groupDeploy, a.pauseCommand(false)), in(groupDeploy, a.deleteCommand()), in(groupDeploy, a.schemaCommand()),
		in(groupRequests, a.invokeCommand()), in(groupRequests, a.resultCommand()), in(groupRequests, a.queueCommand()),
		in(groupRequests, a.logsCommand()), in(groupRequests, a.eventsCommand()),
		in(groupTraining, a.jobCommand()),
		in(groupMore, a.simulateCommand()), in(groupMore, a.planCommand()), in(groupMore, a.benchCommand()), in(groupMore, a.versionCommand()),
	}
}

// groups titles the groups.
func groups() []*cobra.Group {
	return []*cobra.Group{
		{ID: groupPlatform, Title: "The platform:"}, {ID: groupDeploy, Title: "Functions:"},
		{ID: groupRequests, Title: "Requests:"}, {ID: groupTraining, Title: "Training:"}, {ID: groupMore, Title: "More:"},
	}
}

func in(group string, c *cobra.Command) *cobra.Command {
	c.GroupID = group
	return c
}
