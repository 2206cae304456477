'use strict';
// The three plots. Names come from outside: tooltips are drawn as text (richText), never as HTML.
const colors = { useful: '#2f7d5b', idle: '#f2b66d', cold: '#6b9fd4', first: '#d9480f', soft: '#5b6470', grid: '#e8ebef' };
const palette = ['#3b6fb6', '#8a5fb0', '#2a9d8f', '#b5651d', '#7a8b2f', '#c2457d', '#5f7f95', '#9c6644', '#4f9d4f', '#8d99ae', '#6a4c93', '#bc4b51', '#1982c4', '#70798c', '#a98467'];
const hasPrice = data.points.some(p => p.usd > 0);
const axisStyle = { nameTextStyle: { color: colors.soft }, axisLabel: { color: colors.soft }, splitLine: { lineStyle: { color: colors.grid } } };
const number = x => x >= 1000 ? Math.round(x).toLocaleString('en-US') : x >= 100 ? x.toFixed(0) : +x.toPrecision(3) + '';
const charts = [];

function draw(id, option) {
  const chart = echarts.init(document.getElementById(id), null, { renderer: 'canvas' });
  chart.setOption(Object.assign({ animation: false, textStyle: { fontFamily: 'system-ui, sans-serif' } }, option));
  charts.push(chart);
}
window.addEventListener('resize', () => charts.forEach(c => c.resize()));

function drawTime() {
  const first = data.lines[0];
  const bins = Math.max(data.demand.length, ...data.lines.map(l => l.held.length));
  const total = bins * data.width;
  const [unit, per] = total < 7200 ? ['minutes', 60] : total < 4 * 86400 ? ['hours', 3600] : ['days', 86400];
  // A point stands at the beginning of its interval and holds until the next.
  const xy = values => values.concat(values.slice(-1)).map((v, i) => [i * data.width / per, v]);
  const series = [], selected = { 'most in the interval': false };
  const add = (name, values, more) => series.push(Object.assign({ name, type: 'line', step: 'end', showSymbol: false, data: xy(values), lineStyle: { width: 1.5 } }, more));
  if (first) {
    // Drawn one over the other, the largest first, so that what shows of each is its part.
    const area = (name, values, color) => add(name, values, { color, lineStyle: { width: 0 }, areaStyle: { color, opacity: 1 }, z: 1 });
    area('cold', first.held, colors.cold);
    area('idle', first.warm, colors.idle);
    area('useful', first.busy, colors.useful);
    add('most in the interval', first.most, { color: '#9aa3ad', lineStyle: { width: 1, type: 'dotted' } });
  }
  add('demand', data.demand, { color: '#111', lineStyle: { width: 1.5 }, z: 5 });
  data.lines.slice(1).forEach((l, i) => {
    selected[l.name] = false;
    add(l.name, l.held, { color: palette[i % palette.length], z: 4 });
  });
  data.lines.forEach((l, i) => { // the first one's is always there, named as what it is
    add(i ? l.name : 'waiting', l.queued, { xAxisIndex: 1, yAxisIndex: 1, color: i ? palette[(i - 1) % palette.length] : colors.first, lineStyle: { width: 1 } });
  });
  draw('time', {
    series,
    legend: { type: 'scroll', top: 0, selected, data: series.map(s => s.name).filter((n, i, all) => all.indexOf(n) === i) },
    tooltip: {
      trigger: 'axis', renderMode: 'richText', confine: true,
      formatter: at => {
        const held = at.filter(s => s.axisIndex === 0), seen = new Set();
        const value = n => { const s = at.find(s => s.seriesName === n && s.axisIndex === 0); return s && s.value[1]; };
        const lines = [number(at[0].value[0]) + ' ' + unit];
        if (value('useful') !== undefined && value('idle') !== undefined && value('cold') !== undefined) {
          lines.push(data.shown + ': ' + number(value('cold')) + ' GPUs = ' + number(value('useful')) + ' useful + ' + number(value('idle') - value('useful')) + ' idle + ' + number(value('cold') - value('idle')) + ' cold');
          ['useful', 'idle', 'cold'].forEach(n => seen.add(n));
        }
        held.forEach(s => { if (!seen.has(s.seriesName)) lines.push(s.seriesName + ': ' + number(s.value[1]) + ' GPUs'); });
        at.filter(s => s.axisIndex === 1).forEach(s => lines.push(s.seriesName + ': up to ' + number(s.value[1]) + ' waiting'));
        return lines.join('\n');
      },
    },
    axisPointer: { link: [{ xAxisIndex: 'all' }] },
    grid: [{ left: 64, right: 24, top: 58, height: 270 }, { left: 64, right: 24, top: 380, height: 80 }],
    xAxis: [0, 1].map(i => Object.assign({
      type: 'value', gridIndex: i, min: 0, max: total / per, name: i ? unit + ' since the first request' : '', nameLocation: 'middle', nameGap: 26,
    }, axisStyle, i ? { axisLabel: { color: colors.soft, formatter: number } } : { axisLabel: { show: false } })),
    yAxis: [
      Object.assign({ type: 'value', name: 'GPUs', nameLocation: 'middle', nameGap: 46, min: 0 }, axisStyle),
      Object.assign({ type: 'value', gridIndex: 1, name: 'waiting', nameLocation: 'middle', nameGap: 46, min: 0, splitNumber: 2 }, axisStyle),
    ],
    dataZoom: [{ type: 'slider', xAxisIndex: [0, 1], bottom: 6, height: 22, labelFormatter: v => number(v) + ' ' + unit }, { type: 'inside', xAxisIndex: [0, 1], zoomOnMouseWheel: 'ctrl' }],
  });
}

function drawFrontier() {
  const x = p => hasPrice ? p.usd : p.hours;
  const y = p => Math.max(p.late, data.floor);
  const families = [...new Set(data.points.map(p => p.family))];
  const series = families.map((name, i) => {
    const own = data.points.filter(p => p.family === name).sort((a, b) => constant(a.name) - constant(b.name));
    const first = own.some(p => p.name === data.shown);
    const color = first ? colors.first : name === 'oracle' ? '#111' : palette[i % palette.length];
    return {
      name, type: 'line', color, z: first ? 10 : 3, symbol: name === 'oracle' ? 'diamond' : 'circle', symbolSize: first ? 15 : 9, showAllSymbol: true,
      lineStyle: { width: 1, type: 'solid', opacity: .6 },
      label: { show: true, color, fontSize: first ? 14 : 11, fontWeight: first ? 'bold' : 'normal', formatter: p => p.data.label },
      // Of points close together only the constant is said, above and below in turn; the legend says the family.
      data: own.map((p, j) => ({
        value: [x(p), y(p)], point: p, label: { position: own.length > 1 ? ['top', 'bottom'][j % 2] : 'right', formatter: own.length > 1 && p.name.startsWith(name + '-') ? p.name.slice(name.length + 1) : p.name },
      })),
    };
  });
  const lines = [];
  if (data.late > 0) lines.push({ yAxis: data.late, lineStyle: { color: '#b42318', type: 'dashed' }, label: { formatter: 'objective: ' + number(data.late) + ' %', position: 'insideEndTop', color: '#b42318' } });
  if (data.points.some(p => p.late === 0)) lines.push({ yAxis: data.floor, lineStyle: { color: '#c5cbd3', type: 'dotted' }, label: { formatter: 'none late', position: 'insideEndBottom', color: colors.soft } });
  if (lines.length && series.length) {
    series[0].markLine = {
      silent: true, symbol: 'none', animation: false, data: lines,
    };
  }
  const xs = data.points.map(x).filter(v => v > 0), wide = Math.max(...xs) > 20 * Math.min(...xs);
  const ys = data.points.map(y).concat(data.late || []);
  draw('frontier', {
    series,
    legend: { type: 'scroll', top: 0 },
    tooltip: {
      trigger: 'item', renderMode: 'richText', confine: true,
      formatter: s => s.data && s.data.point ? [s.data.point.name, (hasPrice ? '$' + number(s.data.point.usd) + ', ' : '') + number(s.data.point.hours) + ' GPU-hours',
        +s.data.point.late.toPrecision(3) + ' % late', +s.data.point.rate.toPrecision(3) + ' % cold starts'].join('\n') : '',
    },
    grid: { left: 76, right: 120, top: 50, bottom: 56 },
    xAxis: Object.assign({ type: wide ? 'log' : 'value', scale: true, name: hasPrice ? 'cost, USD' + (wide ? ' (logarithmic)' : '') : 'GPU-hours' + (wide ? ' (logarithmic)' : ''), nameLocation: 'middle', nameGap: 32 },
      axisStyle, { min: wide ? Math.min(...xs) / 1.3 : undefined, max: wide ? Math.max(...xs) * 1.3 : undefined, axisLabel: { color: colors.soft, showMinLabel: !wide, showMaxLabel: !wide, formatter: v => (hasPrice ? '$' : '') + number(v), hideOverlap: true } }),
    yAxis: Object.assign({ type: 'log', name: 'late requests, % (logarithmic)', nameLocation: 'middle', nameGap: 54 },
      axisStyle, { min: data.floor / 1.5, max: Math.min(110, Math.max(...ys) * 1.5), axisLabel: { color: colors.soft, showMinLabel: false, showMaxLabel: false, formatter: v => number(v) + ' %' } }),
  });
}

// constant reads the constant out of a policy's name ("timer-45s", "keda-2m0s"), in seconds.
function constant(name) {
  const parts = [...name.matchAll(/([\d.]+)(h|ms|m|s)/g)];
  return parts.reduce((sum, p) => sum + p[1] * { h: 3600, m: 60, s: 1, ms: .001 }[p[2]], 0);
}

function drawCold() {
  const c = data.cold, n = c.functions ? c.functions.length : 0;
  const note = document.getElementById('cold-note');
  note.textContent = 'Requests that found no ready replica' + (c.more > 0 ? ': the ' + n + ' functions with most of them under ' + data.shown + '; ' + c.more + ' more are not shown.' : '.');
  const place = document.getElementById('cold');
  if (!n || !c.policies) { place.remove(); return; }
  const selected = {}, shown = new Set([data.shown, 'hybrid-histogram']);
  c.policies.forEach(p => { selected[p.name] = shown.has(p.name) || c.policies.length <= 3; });
  place.style.height = Math.max(200, 110 + n * (11 * Math.min(2, c.policies.length) + 8)) + 'px';
  draw('cold', {
    legend: { type: 'scroll', top: 0, selected },
    tooltip: {
      trigger: 'axis', axisPointer: { type: 'shadow' }, renderMode: 'richText', confine: true,
      formatter: at => [at[0].name + ', ' + c.requests[at[0].dataIndex].toLocaleString('en-US') + ' requests'].concat(
        at.map(s => s.seriesName + ': ' + s.value.toLocaleString('en-US') + ' (' + +(100 * s.value / Math.max(1, c.requests[s.dataIndex])).toPrecision(3) + ' %)')).join('\n'),
    },
    grid: { left: 16, right: 40, top: 40, bottom: 44, containLabel: true },
    xAxis: Object.assign({ type: 'value', name: 'requests that met a cold start', nameLocation: 'middle', nameGap: 28, minInterval: 1 }, axisStyle),
    yAxis: { type: 'category', inverse: true, data: c.functions, axisLabel: { color: colors.soft, formatter: n => n.length > 36 ? n.slice(0, 15) + '…' + n.slice(-20) : n } },
    series: c.policies.map((p, i) => ({ name: p.name, type: 'bar', data: p.count, color: p.name === data.shown ? colors.first : palette[i % palette.length], barMaxWidth: 12 })),
  });
}

if (data.points && data.points.length) { drawTime(); drawFrontier(); drawCold(); }
