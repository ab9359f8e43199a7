// The list of jobs, or one training with its curve.

export default (component) => mount(component, Jobs);
