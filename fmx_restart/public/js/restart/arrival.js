/** Whoever has started a restart hears and sees its form first: the focus goes to its headline, once. */

let expected = "";

export function expect_operation(name) {
	expected = name;
}

/** @param place the element with the form of the operation of that name, as it is shown */
export function welcome(name, place) {
	if (name === expected) {
		expected = "";
		place.querySelector(".restart-headline")?.focus();
	}
}
