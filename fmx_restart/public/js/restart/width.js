/** How wide a place of the page is, for what is drawn in pixels. */
import { onBeforeUnmount, ref, watch } from "vue";

/**
 * @param place ref of an element that may come and go
 * @param least pixels
 * @returns ref of its width in whole pixels, kept up to date
 */
export function width_of(place, least) {
	const width = ref(least);
	const observer = new ResizeObserver(([entry]) =>
		// not within the notification: what is drawn then may change the size once more
		requestAnimationFrame(() => (width.value = Math.max(least, Math.floor(entry.contentRect.width))))
	);
	watch(place, (element, before) => {
		before && observer.unobserve(before);
		element && observer.observe(element);
	});
	onBeforeUnmount(() => observer.disconnect());
	return width;
}
