/** msgpackr publishes this build without types; its exports are those of the main one. */
declare module 'msgpackr/index-no-eval' {
  export { addExtension, Packr, REUSE_BUFFER_MODE, Unpackr } from 'msgpackr'
}
