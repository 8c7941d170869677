/** Asks again and again, one question at a time: slowly while web does not answer, and never while nobody looks at the page. */
import { pause_after } from "./pace";

export class Poll {
	/**
	 * @param task async function. It returns AWAY, LIVELY or nothing (pace.js); what it throws is the caller's to catch
	 * @param seconds between two turns, from the end of one to the beginning of the next
	 */
	constructor(task, seconds) {
		this.task = task;
		this.seconds = seconds;
		this.is_on = false;
		this.timer = null;
		this.on_visibility = () => !document.hidden && this.now();
	}

	start() {
		if (!this.is_on) {
			this.is_on = true;
			this.pace = pause_after(this.seconds);
			document.addEventListener("visibilitychange", this.on_visibility);
			this.now();
		}
	}

	stop() {
		this.is_on = false;
		clearTimeout(this.timer);
		document.removeEventListener("visibilitychange", this.on_visibility);
	}

	/** Out of turn: something has just changed. */
	async now() {
		clearTimeout(this.timer);
		if (!this.is_on || this.is_asking) {
			return;
		}
		this.is_asking = true;
		let found;
		try {
			found = await this.task();
		} finally {
			this.is_asking = false;
			this.wait(this.pace(found));
		}
	}

	wait(seconds) {
		if (this.is_on && !document.hidden) {
			this.timer = setTimeout(() => this.now(), seconds * 1000);
		}
	}
}
