// Waiting for long work of one's own.

/** A job when it has ended, looked at again and again while `wanted`; `progress` hears how it stands. */
async function ended(job, wanted, progress) {
  while (!FINISHED.includes(job.state) && wanted()) {
    progress(job);
    await sleep(500);
    job = await get(`/v1/jobs/${job.id}`);
  }
  return job;
}
