package workflows_test

import (
	"github.com/stretchr/testify/mock"
	"go.temporal.io/sdk/converter"
)

const anything = mock.Anything

var dataConverter = converter.GetDefaultDataConverter()
