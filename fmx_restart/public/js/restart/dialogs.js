/** What Frappe's dialogs lack for people who use a keyboard or a screen reader. */

const FOCUSABLE = "a[href], button, input, select, textarea, summary, [tabindex='0']";

/**
 * Give a dialog a name, keep the focus inside, and give it back at the end.
 * @param open function that shows a dialog of Frappe's and returns it
 */
export function accessible(open) {
	const opener = document.activeElement;
	const dialog = open();
	const $modal = dialog.$wrapper.addClass("restart-modal");
	$modal.attr("aria-label", $modal.find(".modal-title").first().text().trim());
	$modal.find(".btn-modal-close").attr("aria-label", __("Close"));
	$modal.on("keydown", (event) => keep_inside($modal[0], event));
	$modal.on("hidden.bs.modal", () => focus_on(opener));
	return dialog;
}

/** Bootstrap would do it, but Frappe switches that off. */
function keep_inside(modal, event) {
	if (event.key !== "Tab") {
		return;
	}
	const places = [...modal.querySelectorAll(FOCUSABLE)].filter((place) => !place.disabled && is_visible(place));
	const [first, last] = [places[0], places[places.length - 1]];
	const { activeElement } = document;
	if (event.shiftKey && (activeElement === first || activeElement === modal)) {
		event.preventDefault();
		last.focus();
	} else if (!event.shiftKey && activeElement === last) {
		event.preventDefault();
		first.focus();
	}
}

/** What opened the dialog; or the page's own button, as Frappe takes the focus from a button whose action takes time. */
function focus_on(opener) {
	const has_opener = opener && opener !== document.body && is_visible(opener);
	const place = has_opener ? opener : $(".page-actions .primary-action:visible")[0];
	place?.focus();
}

function is_visible(element) {
	return element.getClientRects().length > 0;
}
