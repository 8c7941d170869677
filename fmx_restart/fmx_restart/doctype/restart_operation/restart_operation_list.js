// Copyright (c) 2026, fmx_restart contributors
// For license information, please see license.txt

(() => {
	/** Columns of Frappe's own with a short title. The first three are the title, the tags and the status. */
	const SHORT = {
		name: __("Strategy"),
		started: `${__("Started")} (${moment.tz?.(frappe.boot.time_zone?.user || frappe.boot.time_zone?.system || "UTC").format("z") || ""})`,
		requested_by: __("By"),
		jobs_waited_for: __("Waited"),
		jobs_interrupted: __("Killed"),
		jobs_lost: __("Lost"),
		web_outage: __("Outage"),
	};
	/** Columns of durations, which are wider than those of small numbers. */
	const TIMES = new Set(["duration", "web_outage"]);
	const MOST_COLUMNS = 10;
	/** Pixels below which Frappe's own number of columns fits better. */
	const NARROW = 1200;
	const NOTHING = "–";

	const escaped = (text) => frappe.utils.escape_html(text || "");
	const title_of = ({ strategy, migrate }) => {
		const known = (frappe.boot.fmx_restart?.strategies || []).find((one) => one.strategy === strategy);
		const label = known?.label || strategy;
		return migrate ? __("{0}, with migration", [label]) : label;
	};
	const is_over = (doc) => !["Queued", "Running"].includes(doc.status);
	const span = (seconds) => {
		const whole = seconds < 10 ? Math.round(seconds * 10) / 10 : Math.round(seconds);
		const [minutes, rest] = [Math.floor(whole / 60), whole % 60];
		if (!minutes) {
			return __("{0} s", [whole], "seconds");
		}
		return rest ? __("{0} min {1} s", [minutes, rest], "minutes, seconds") : __("{0} min", [minutes], "minutes");
	};
	const when = (started) => (started ? frappe.datetime.convert_to_user_tz(started, false).format("D MMM HH:mm") : "");
	const counted = (number, colour, doc) =>
		is_over(doc) ? `<span class="${number ? `restart-is-${colour}` : ""}">${number || 0}</span>` : NOTHING;

	frappe.listview_settings["Restart Operation"] = {
		add_fields: ["status", "strategy", "phase", "migrate", "started", "web_answers", "jobs_interrupted"],

		/** The DocType has the colours of all others. Amber: nothing is lost, and yet not every job ran to its end. */
		get_indicator: ({ status, jobs_interrupted }) =>
			status === "Done" ? [__("Done"), jobs_interrupted ? "orange" : "green", "status,=,Done"] : undefined,

		formatters: {
			started: (value) => escaped(when(value)),
			duration: (value, df, doc) => (is_over(doc) && value ? span(value) : NOTHING),
			requested_by: (value) => `<span title="${escaped(value)}">${escaped(value) || NOTHING}</span>`,
			jobs_waited_for: (value, df, doc) => counted(value, "", doc),
			jobs_interrupted: (value, df, doc) => counted(value, "note", doc),
			jobs_lost: (value, df, doc) => counted(value, "bad", doc),
			/** Where nobody measured it nothing is said. */
			web_outage: (value, df, doc) => (doc.web_answers ? span(value || 0) : NOTHING),
		},

		onload(listview) {
			if (listview.view_name === "List") {
				set_columns(listview);
				set_titles(listview);
				show_verdict(listview);
			}
			// nobody adds a record by hand, so Frappe would clear this place whenever rows are ticked and unticked
			listview.set_primary_action = () => {
				if (!frappe.boot.fmx_restart?.access?.may_start) {
					listview.page.clear_primary_action();
					return;
				}
				listview.page.set_primary_action(__("Restart…"), async () => {
					await load();
					fmx_restart.open_start_dialog();
				});
				show_button(listview);
			};
			listview.set_primary_action();
			listview.page.add_inner_button(__("Bench Workers"), () => frappe.set_route("bench-workers"));
			show_scheduled(listview.page);
		},
	};

	function load() {
		return frappe.require(["fmx_restart.bundle.css", "fmx_restart.bundle.js"]);
	}

	async function show_verdict(listview) {
		const place = $('<div class="restart-root restart-above-list"></div>').insertBefore(listview.$frappe_list);
		await load();
		fmx_restart.show_verdict(place[0], {
			heed({ verdict }, has_changed) {
				listview.is_refused = verdict.level === "error";
				show_button(listview);
				has_changed && listview.refresh();
			},
		});
	}

	/** None while the verdict above the list says "Not now". */
	function show_button(listview) {
		listview.page.btn_primary.toggleClass("restart-is-refused", Boolean(listview.is_refused));
	}

	/** Not by frappe.call, which opens a dialog where the server does not answer. */
	async function show_scheduled(page) {
		const answer = await fetch("/api/method/fmx_restart.api.scheduled").catch(() => null);
		const scheduled = answer?.ok ? (await answer.json()).message.scheduled : [];
		if (scheduled.length) {
			const label = __("Scheduled Restarts: {0}", [scheduled.length]);
			page.add_inner_button(label, () => frappe.set_route("bench-workers"));
		}
	}

	/** As many as the window has room for, unless someone has set it for this list. */
	function set_columns(listview) {
		const settings = (listview.list_view_settings ||= {});
		if (settings.total_fields || settings.fields || window.innerWidth < NARROW) {
			return;
		}
		settings.total_fields = MOST_COLUMNS;
		listview.setup_columns();
		listview.columns = listview.columns.map((column) => with_short_label(column));
		listview.render_header(true);
	}

	/** In place of the id what was done; on a phone, where Frappe shows one column, also the status and the time. */
	function set_titles(listview) {
		// from Frappe 16 on a list scrolls sideways, and its columns are as wide as they need to be
		const is_tight = parseInt(frappe.boot.versions?.frappe) < 16;
		listview.$result.addClass(is_tight ? "restart-list is-tight" : "restart-list");
		const plain = listview.get_column_html;
		listview.get_column_html = function (column, doc) {
			const html = plain.call(this, column, doc);
			if (is_time(column)) {
				return html.replace("list-row-col", "list-row-col restart-is-time");
			}
			return column.type === "Subject" ? with_title(html, doc) : html;
		};
		const plain_header = listview.get_header_html;
		listview.get_header_html = function () {
			const $header = $(plain_header.call(this) || "");
			$header.find(".list-header-subject > .list-row-col").each((index, cell) => {
				cell.classList.toggle("restart-is-time", is_time(this.columns[index]));
			});
			return $header;
		};
		listview.columns && listview.render_header(true);
	}

	function is_time(column) {
		return TIMES.has(column?.df?.fieldname);
	}

	function with_title(html, doc) {
		const $column = $(`<div>${html}</div>`);
		const $link = $column.find("a[href]").last();
		$link.text(title_of(doc)).attr("title", doc.name);
		const text = `${__(doc.status)} · ${when(doc.started)}`;
		$('<span class="restart-list-when"></span>').text(text).appendTo($link);
		return $column.html();
	}

	function with_short_label(column) {
		const label = SHORT[column.df?.fieldname];
		return label ? { ...column, df: { ...column.df, label } } : column;
	}
})();
