// What the view of the flow shows below its drawing or in place of it: one module, so that it is one import.

export { flowCharts } from './charts.js';
export { nodeDetail } from './detail.js';
export { flowTable } from './table.js';
