package workflows

import (
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"

	"stoker.dev/stoker/activities"
)

// Types lists every workflow type this package registers; each needs a recorded history.
func Types() []string { return []string{FunctionWorkflow} }

// RegisterWorkflows adds the workflows to a worker, a replayer or a test environment.
func RegisterWorkflows(r worker.WorkflowRegistry) {
	r.RegisterWorkflowWithOptions(Function, workflow.RegisterOptions{Name: FunctionWorkflow})
}

// RegisterActivities adds the activities to a worker, each by its method's name.
func RegisterActivities(r worker.ActivityRegistry, a *activities.Activities) {
	r.RegisterActivityWithOptions(a, activity.RegisterOptions{})
}
