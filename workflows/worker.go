package workflows

import (
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"

	"stoker.dev/stoker/activities"
)

// Types lists every workflow type this package registers; each needs a recorded history.
func Types() []string { return []string{FunctionWorkflow, JobWorkflow} }

// RegisterWorkflows adds the workflows to a worker, a replayer or a test environment.
func RegisterWorkflows(r worker.WorkflowRegistry) {
	r.RegisterWorkflowWithOptions(Function, workflow.RegisterOptions{Name: FunctionWorkflow})
	r.RegisterWorkflowWithOptions(Job, workflow.RegisterOptions{Name: JobWorkflow})
}

// RegisterActivities adds the activities to a worker, each by its method's name.
func RegisterActivities(r worker.ActivityRegistry, a *activities.Activities, g *activities.Gangs) {
	r.RegisterActivityWithOptions(a, activity.RegisterOptions{})
	r.RegisterActivityWithOptions(g, activity.RegisterOptions{})
}
