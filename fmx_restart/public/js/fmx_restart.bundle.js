/** All that Desk shows of restarts. Loaded by frappe.require where it is needed, and only there. */
import { open_start_dialog } from "./restart/start";
import { show_operation } from "./restart/operation";
import { show_verdict } from "./restart/verdict_bar";
import { show_workers } from "./restart/workers_page";

frappe.provide("fmx_restart");

Object.assign(fmx_restart, { open_start_dialog, show_operation, show_verdict, show_workers });
