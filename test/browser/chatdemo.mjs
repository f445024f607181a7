// The chat demo as two people use it. The tests run in this order and build on each other.
import assert from 'node:assert/strict';
import path from 'node:path';
import { TEXTS, REASONS } from '../../server/web/chatdemo/texts.js';
import { sleep } from './server.mjs';

const problems = []; // console errors, page errors, requests to other hosts
let restarting = false;

// Polls until `read` gives what is expected.
async function eventually(read, expected, what) {
  const limit = Date.now() + 45000;
  let last;
  do {
    last = await read();
    if (JSON.stringify(last) === JSON.stringify(expected)) return;
    await sleep(50);
  } while (Date.now() < limit);
  assert.deepEqual(last, expected, what);
}

function watch(page, who, server) {
  const known = [new URL(server.api).host, new URL(server.demo).host];
  page.on('console', (m) => {
    if (m.type() === 'error' && !restarting) problems.push(`${who}: console: ${m.text()}`);
  });
  page.on('pageerror', (e) => problems.push(`${who}: ${e.stack ?? e}`));
  page.on('request', (r) => {
    const url = new URL(r.url());
    if (/^https?:$/.test(url.protocol) && !known.includes(url.host))
      problems.push(`${who}: request to ${url.host}`);
  });
}

async function tab(world, who) {
  const page = await world.context.newPage();
  world.pages[who] = page;
  watch(page, who, world.server);
  await page.goto(world.server.demo);
  await page.waitForSelector('#uid');
  return page;
}

async function signIn(page, who, password = `secret of ${who}`) {
  await page.fill('#uid', who);
  await page.fill('#password', password);
  await page.click('form.login .primary');
  await online(page);
}

const online = (page) => page.waitForSelector('.link-line[data-state="online"]');
const texts = (page) => page.$$eval('.message .text', (all) => all.map((e) => e.textContent));
const lastText = async (page) => (await texts(page)).at(-1) ?? null;
const row = (id, type = 1) => `.chat-row[data-key="${type}:${id}"]`;
const badge = (page, id, type = 1) => page.$eval(`${row(id, type)} .badge`, (e) => e.textContent)
  .catch(() => null);
const states = (page) => page.$$eval('.message.mine', (all) => all.map((e) => e.dataset.state));

async function say(page, text) {
  await page.fill('#compose', text);
  await page.press('#compose', 'Enter');
}

async function startChat(page, mode, id, members) {
  await page.click('#new-chat');
  await page.click(`.tabs [data-mode="${mode}"]`);
  await page.fill('#chat-id', id);
  if (members) await page.fill('#chat-members', members);
  await page.click('dialog .primary');
  await page.waitForSelector('#thread-name');
  await eventually(() => page.textContent('#thread-name'), id);
}

const picture = (world, who, name) =>
  world.pages[who].screenshot({ path: path.join(world.pictures, `${name}.png`) });
const payload = (text) => Buffer.from(JSON.stringify({ type: 1, content: text })).toString('base64');

export const chatdemo = {
  async the_root_and_login_lead_to_the_demo(world) {
    for (const from of ['/', '/login']) {
      const answer = await fetch(world.server.demo + from);
      const url = new URL(answer.url);
      assert.equal(answer.status, 200);
      assert.equal(url.pathname, '/chatdemo/');
      assert.equal(url.searchParams.get('apiurl'), world.server.api);
      assert.match(await answer.text(), /<div id="app">/);
    }
  },

  async every_text_exists_in_both_languages() {
    assert.deepEqual(Object.keys(TEXTS.en).sort(), Object.keys(TEXTS.zh).sort());
    assert.equal(REASONS.en.length, REASONS.zh.length);
    for (const key of Object.keys(TEXTS.en))
      assert.deepEqual((TEXTS.en[key].match(/\{\w+\}/g) ?? []).sort(),
        (TEXTS.zh[key].match(/\{\w+\}/g) ?? []).sort(), key);
  },

  async a_wrong_api_address_is_explained(world) {
    const page = await tab(world, 'alice');
    await picture(world, 'alice', 'login');
    await page.fill('#uid', 'alice');
    await page.fill('#server', 'ftp://nowhere');
    await page.click('form.login .primary');
    assert.equal(await page.textContent('#login-error'), TEXTS.en.urlBad);
    await page.fill('#server', world.server.api);
    await page.fill('#uid', 'al#ice');
    await page.click('form.login .primary');
    assert.equal(await page.textContent('#login-error'), TEXTS.en.uidBad);
  },

  async two_people_sign_in_on_two_tabs(world) {
    await signIn(world.pages.alice, 'alice');
    const bob = await tab(world, 'bob');
    await signIn(bob, 'bob');
    assert.equal(await world.pages.alice.textContent('#me'), 'alice');
    assert.equal(await bob.textContent('#me'), 'bob');
  },

  async the_token_is_never_in_the_address(world) {
    for (const page of [world.pages.alice, world.pages.bob])
      assert.doesNotMatch(page.url(), /token|secret/);
    const old = await world.context.newPage();
    world.pages.old = old;
    await old.goto(`${world.server.demo}/chatdemo/?apiurl=${world.server.api}#/chat?uid=alice&token=abc`);
    await old.waitForSelector('#uid');
    assert.doesNotMatch(old.url(), /token/);
    await old.close();
    delete world.pages.old;
  },

  async a_message_reaches_the_other_person(world) {
    const { alice, bob } = world.pages;
    await startChat(alice, 'person', 'bob');
    await say(alice, 'Hello Bob!');
    await eventually(() => states(alice), ['sent']);
    await bob.waitForSelector(row('alice'));
    await eventually(() => badge(bob, 'alice'), '1');
    assert.match(await bob.title(), /^\(1\) bob/);
    assert.equal(await bob.textContent(`${row('alice')} .digest`), 'Hello Bob!');
  },

  async unread_counts_go_up_and_reading_clears_them(world) {
    const { server, pages: { alice, bob } } = world;
    await say(alice, 'Are you there?');
    await say(alice, 'The build is green.');
    await eventually(() => badge(bob, 'alice'), '3');
    await bob.click(row('alice'));
    await eventually(() => texts(bob), ['Hello Bob!', 'Are you there?', 'The build is green.']);
    await eventually(() => badge(bob, 'alice'), '');
    assert.doesNotMatch(await bob.title(), /\(/);
    await eventually(async () => { // the read position is told to the server after a moment
      const rows = await server.call('/conversation/sync', { uid: 'bob', msg_count: 1 });
      return rows.find((c) => c.channel_id === 'alice').unread;
    }, 0);
    await bob.reload();
    await online(bob);
    await eventually(() => badge(bob, 'alice'), '');
    await eventually(() => lastText(bob), 'The build is green.');
  },

  async an_answer_comes_back_into_the_open_chat(world) {
    const { alice, bob } = world.pages;
    await say(bob, 'Yes! Great news, see https://example.org/notes?id=1. Tea at four?');
    await eventually(() => lastText(alice), 'Yes! Great news, see https://example.org/notes?id=1. Tea at four?');
    assert.equal(await alice.getAttribute('.message.theirs .text a', 'href'), 'https://example.org/notes?id=1');
    await eventually(() => badge(alice, 'bob'), '');
  },

  async markup_in_a_message_stays_text(world) {
    const { alice, bob } = world.pages;
    const evil = '<img src=x onerror="document.title=\'owned\'"><script>document.title="owned"</script>';
    await say(alice, evil);
    await eventually(() => lastText(bob), evil);
    assert.equal(await bob.$('.message .text img, .message .text script'), null);
    assert.doesNotMatch(await bob.title(), /owned/);
    await say(alice, 'two\nlines & 表情 👍');
    await eventually(() => lastText(bob), 'two\nlines & 表情 👍');
  },

  async a_group_reaches_its_members_with_the_names_of_senders(world) {
    const { alice, bob } = world.pages;
    await startChat(alice, 'make', 'team', 'bob, carol');
    await say(alice, 'Welcome to the team');
    await eventually(() => states(alice), ['sent']);
    await eventually(() => badge(bob, 'team', 2), '1');
    assert.equal(await bob.textContent(`${row('team', 2)} .digest`), 'alice: Welcome to the team');
    await bob.click(row('team', 2));
    await eventually(() => lastText(bob), 'Welcome to the team');
    assert.equal(await bob.textContent('.message.theirs .sender'), 'alice');
    await say(bob, 'Thanks, glad to be here.');
    await eventually(() => lastText(alice), 'Thanks, glad to be here.');
  },

  async a_member_who_was_away_finds_the_chat_and_its_unread_count(world) {
    const carol = await tab(world, 'carol');
    await signIn(carol, 'carol');
    await eventually(() => badge(carol, 'team', 2), '2');
    await carol.click(row('team', 2));
    await eventually(() => texts(carol), ['Welcome to the team', 'Thanks, glad to be here.']);
    await eventually(() => badge(carol, 'team', 2), '');
    await say(carol, 'Hi, carol here.');
    await eventually(() => lastText(world.pages.alice), 'Hi, carol here.');
  },

  async a_stranger_is_refused_and_can_join_and_send_again(world) {
    const dave = await tab(world, 'carol');
    await signIn(dave, 'dave');
    await dave.goto(`${dave.url()}&channel=team&type=2`);
    await dave.waitForSelector('#compose');
    await say(dave, 'Let me in');
    await eventually(() => states(dave), ['failed']);
    assert.match(await dave.textContent('.message.mine .why'), /not in this group/);
    await picture(world, 'carol', 'refused');
    await startChat(dave, 'join', 'team');
    await dave.click('.why button');
    await eventually(() => states(dave), ['sent']);
    await eventually(() => lastText(world.pages.alice), 'Let me in');
    await dave.close();
    delete world.pages.carol;
  },

  async long_history_loads_page_by_page_in_order(world) {
    const { server, pages: { alice } } = world;
    for (let i = 1; i <= 75; i++)
      await server.call('/message/send', { header: { red_dot: 1 }, from_uid: 'news', channel_id: 'alice',
        channel_type: 1, client_msg_no: `news-${i}`, payload: payload(`News number ${i}`) });
    await eventually(() => badge(alice, 'news'), '75');
    await alice.reload();
    await online(alice);
    await eventually(() => badge(alice, 'news'), '75');
    await alice.click(row('news'));
    await eventually(() => lastText(alice), 'News number 75');
    const first = await texts(alice);
    assert.ok(first.length < 75, 'one page is not everything');
    const limit = Date.now() + 20000;
    while ((await texts(alice)).length < 75 && Date.now() < limit) {
      await alice.$eval('.scroller', (e) => { e.scrollTop = 0; });
      await sleep(100);
    }
    assert.deepEqual(await texts(alice), Array.from({ length: 75 }, (_, i) => `News number ${i + 1}`));
    await eventually(() => alice.textContent('.note.top'), TEXTS.en.beginning);
  },

  async scrolled_up_new_messages_do_not_move_the_page(world) {
    const { server, pages: { alice } } = world;
    await alice.$eval('.scroller', (e) => { e.scrollTop = 0; });
    await server.call('/message/send', { header: { red_dot: 1 }, from_uid: 'news', channel_id: 'alice',
      channel_type: 1, client_msg_no: 'news-76', payload: payload('News number 76') });
    await alice.waitForSelector('.to-end:not([hidden])');
    assert.ok(await alice.$eval('.scroller', (e) => e.scrollTop < 100));
    await alice.click('.to-end');
    await alice.waitForSelector('.to-end', { state: 'hidden' });
  },

  async what_was_missed_in_a_cut_connection_is_loaded_without_a_hole(world) {
    const { server, pages: { bob } } = world;
    let blocked = false;
    let open;
    await bob.routeWebSocket(/./, (ws) => {
      if (blocked) {
        ws.close({ code: 1001 });
      } else {
        ws.connectToServer();
        open = ws;
      }
    });
    await bob.goto(`${server.demo}/chatdemo/?apiurl=${server.api}#/chat?uid=bob&channel=alice&type=1`);
    await bob.reload();
    await online(bob);
    await eventually(async () => (await texts(bob)).length, 6);
    const before = await texts(bob);
    blocked = true;
    await open.close({ code: 1001 });
    await bob.waitForSelector('.link-line[data-state="waiting"]');
    const missed = Array.from({ length: 45 }, (_, i) => `Missed ${i + 1}`);
    for (const text of missed)
      await server.call('/message/send', { header: { red_dot: 1 }, from_uid: 'alice', channel_id: 'bob',
        channel_type: 1, client_msg_no: text, payload: payload(text) });
    blocked = false;
    await bob.click('.link-line button', { timeout: 1000 }).catch(() => {}); // "Try now", if it waits
    await online(bob);
    await eventually(() => lastText(bob), 'Missed 45');
    await bob.waitForFunction((wanted) => {
      document.querySelector('.scroller').scrollTop = 0;
      return document.querySelectorAll('.message').length === wanted;
    }, before.length + missed.length, { polling: 100 });
    assert.deepEqual(await texts(bob), [...before, ...missed]);
  },

  async a_restarted_server_gets_the_message_written_meanwhile_once(world) {
    const { server, pages: { alice, bob } } = world;
    await alice.click(row('bob'));
    await bob.click(row('alice'));
    restarting = true;
    assert.equal(await server.stop(), 0);
    await alice.waitForSelector('.link-line[data-state="waiting"]');
    await say(alice, 'Written while the server was away');
    await eventually(async () => (await states(alice)).at(-1), 'sending');
    await picture(world, 'alice', 'offline');
    await server.start();
    for (const page of [alice, bob])
      await page.click('.link-line button', { timeout: 1000 }).catch(() => {}); // "Try now", if it still waits
    await online(alice);
    await online(bob);
    restarting = false;
    await eventually(async () => (await states(alice)).at(-1), 'sent');
    await eventually(() => lastText(bob), 'Written while the server was away');
    await say(bob, 'And back again.');
    await eventually(() => lastText(alice), 'And back again.');
    for (const page of [alice, bob]) {
      await page.reload();
      await online(page);
      await eventually(() => lastText(page), 'And back again.');
      assert.equal((await texts(page)).filter((x) => x === 'Written while the server was away').length, 1);
    }
  },

  async a_kicked_user_stays_out_until_signing_in_again(world) {
    const { server, pages: { bob } } = world;
    await server.call('/user/device_quit', { uid: 'bob', device_flag: 1 });
    await bob.waitForSelector('.link-line[data-state="kicked"]', { timeout: 15000 });
    await sleep(4000); // the SDK alone would be back after 3 s
    assert.equal(await bob.getAttribute('.link-line', 'data-state'), 'kicked');
    await bob.click('.link-line button');
    await bob.waitForSelector('#uid');
    await signIn(bob, 'bob');
  },

  async a_wrong_token_is_named(world) {
    const { server, pages: { bob } } = world;
    await server.call('/user/token', { uid: 'bob', token: 'another', device_flag: 1, device_level: 0 });
    await bob.reload();
    await bob.waitForSelector('.link-line[data-state="failed"]');
    assert.match(await bob.textContent('#link-text'), /wrong token/);
    await bob.click('.link-line button');
    await signIn(bob, 'bob');
  },

  async language_and_theme_switch(world) {
    const { alice } = world.pages;
    await alice.click(row('team', 2));
    await eventually(() => lastText(alice), 'Let me in');
    await picture(world, 'alice', 'light');
    await alice.click('#theme');
    assert.equal(await alice.getAttribute('html', 'data-theme'), 'dark');
    await alice.click('#language');
    await online(alice);
    await eventually(() => alice.getAttribute('#search', 'placeholder'), TEXTS.zh.search);
    await eventually(() => lastText(alice), 'Let me in');
    await picture(world, 'alice', 'dark-chinese');
    await alice.click('#new-chat');
    await alice.click('.tabs [data-mode="make"]');
    await picture(world, 'alice', 'dialog');
    await alice.keyboard.press('Escape');
    await alice.click('#language');
    await alice.click('#theme');
  },

  async a_phone_shows_the_list_or_the_chat(world) {
    const { bob } = world.pages;
    await bob.setViewportSize({ width: 390, height: 780 });
    await bob.waitForSelector(row('team', 2));
    await picture(world, 'bob', 'phone-list');
    await bob.click(row('team', 2));
    await bob.waitForSelector('#compose', { state: 'visible' });
    assert.equal(await bob.isVisible('.sidebar'), false);
    await eventually(() => lastText(bob), 'Let me in');
    await picture(world, 'bob', 'phone-chat');
    await bob.click('.back');
    await bob.waitForSelector('.sidebar', { state: 'visible' });
    assert.equal(await bob.isVisible('.thread'), false);
  },

  async signing_out_forgets_the_session(world) {
    const { alice } = world.pages;
    await alice.click('#sign-out');
    await alice.waitForSelector('#uid');
    await alice.reload();
    await alice.waitForSelector('#uid');
    assert.equal(await alice.evaluate(() => sessionStorage.getItem('wkim.session')), null);
    await alice.goBack();
    await alice.waitForSelector('#uid');
  },

  async nothing_was_written_to_the_console_or_asked_of_other_hosts() {
    assert.deepEqual(problems, []);
  },
};
