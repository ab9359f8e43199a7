// The list of jobs.

export default (component) => mount(component, Jobs);
